"""Networks that have not seen a label: one for each fold, trained on the labels of the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from model.network import DeeplySupervisedUNet, NetworkSettings
from model.training.dataset import Example
from model.training.run import train
from model.training.settings import TrainingError, TrainingSettings
from model.training.splitting import placement

FOLDS = 3
"""Trainings. Two thirds of the labels teach nearly as much as all, and each further fold costs a training."""
MIN_IMAGES = 6
"""Fewest images that are worth dividing."""


@dataclass(frozen=True)
class Fold:
    """A network, and the images that it was not trained on.

    Attributes:
        number: from 0.
        network: on the CPU, in evaluation mode.
        images: their names.
    """

    number: int
    network: DeeplySupervisedUNet
    images: tuple[str, ...]


def divide(images: Sequence[str], count: int = FOLDS, seed: int = 0) -> list[tuple[str, ...]]:
    """Divide names of images into `count` parts of nearly the same size, in an order drawn by seed.

    Raises:
        TrainingError: there are fewer than `MIN_IMAGES` images.
    """
    drawn = sorted(set(images), key=lambda image: (placement(image, seed), image))
    if len(drawn) < MIN_IMAGES:
        raise TrainingError(
            f"{len(drawn)} labelled images are too few to check labels against each other; "
            f"{MIN_IMAGES} are needed."
        )
    return [tuple(drawn[number::count]) for number in range(count)]


def cross_fit(
    examples: Sequence[Example],
    images: Sequence[str],
    *,
    labels: tuple[str, ...],
    network: NetworkSettings,
    settings: TrainingSettings,
    start: DeeplySupervisedUNet | None = None,
    count: int = FOLDS,
) -> Iterator[Fold]:
    """Train a network for each fold, on the examples of the other folds; yields each when it is trained.

    Args:
        examples: all examples.
        images: name of each example's image; examples of one image are in the same fold.
        labels, network, settings, start: as in `model.training.run.train`. `start` must not have learned from
            these labels.
        count: number of folds.

    Raises:
        TrainingError: there are fewer than `MIN_IMAGES` images, or a training fails.
    """
    for number, held in enumerate(divide(images, count, settings.seed)):
        others = [one for one, image in zip(examples, images, strict=True) if image not in held]
        trained = train(others, [], labels=labels, network=network, settings=settings, start=start)
        yield Fold(number, trained.network, held)
