"""Checks that the examples, labels and network of a training are consistent."""

from __future__ import annotations

from collections.abc import Sequence

from model.loss import IGNORE_INDEX
from model.network import DeeplySupervisedUNet, NetworkSettings
from model.training.batches import ExampleSource
from model.training.dataset import Example
from model.training.settings import TrainingError


def check_examples(
    training: Sequence[Example] | ExampleSource, validation: Sequence[Example], labels: tuple[str, ...]
) -> None:
    """Check all examples that are known before the training, so not those that a source draws during it.

    Raises:
        TrainingError: there are no training examples, training and validation share a key, or a mask contains
            a class index larger than the number of labels.
    """
    if isinstance(training, ExampleSource):
        training = ()
    elif not training:
        raise TrainingError("There is nothing to train on; annotate at least one image.")
    shared = sorted({example.key for example in training} & {example.key for example in validation})
    if shared:
        raise TrainingError(
            f"{shared[0]} and {len(shared) - 1} other images are in both training and validation; "
            "use each image on one side only."
        )
    for example in (*training, *validation):
        known = example.mask[example.mask != IGNORE_INDEX]
        if known.max(initial=0) > len(labels):
            raise TrainingError(
                f"The mask of {example.key} contains class index {known.max()}, but there are only "
                f"{len(labels)} labels; name all labels or correct the mask."
            )


def check_network(
    labels: tuple[str, ...], network: NetworkSettings, start: DeeplySupervisedUNet | None
) -> None:
    """Check the network against the labels and against the start weights, if any.

    Raises:
        TrainingError: the network does not have one class more than there are labels, or the start weights
            are of another architecture.
    """
    if network.classes != len(labels) + 1:
        raise TrainingError(
            f"The network has {network.classes} classes, but {len(labels)} labels need {len(labels) + 1}; "
            "create a network for these labels."
        )
    if start is not None and not start.settings.fits(network):
        raise TrainingError(f"The start weights are of {start.settings}, not {network}; train from scratch.")
