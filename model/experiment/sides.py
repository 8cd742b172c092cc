"""Which images train, validate and test, and with which ones a seed begins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from model.experiment.collection import Collection
from model.experiment.settings import PAPER_SPLIT, ExperimentError
from model.splitting import placement

SPLIT_SEED = 0


@dataclass(frozen=True)
class Sides:
    """Indices into a collection; no subject is on two sides.

    Attributes:
        training: the pool that labels are taken from.
        validation: choose the weights of a training.
        test: are only ever measured.
    """

    training: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


def divide(collection: Collection, counts: tuple[int, int, int] | None) -> Sides:
    """The fixed division of a collection: the same for every arm and seed.

    Subjects go whole, in an order that their names alone decide, to test, then validation, then training,
    until each has its count; with several images a subject, sides come out a little larger than asked for.

    Raises:
        ExperimentError: the counts are more than there are images, or a side stays empty.
    """
    total = len(collection.images)
    training, validation, test = counts or proportional(total)
    if training + validation + test > total:
        raise ExperimentError(
            f"A split of {training},{validation},{test} needs {training + validation + test} images and "
            f"there are {total}; give smaller numbers."
        )
    groups: dict[str, list[int]] = {}
    for index, image in enumerate(collection.images):
        groups.setdefault(image.subject, []).append(index)
    order = sorted(groups, key=lambda subject: (placement(subject, SPLIT_SEED), subject))
    sides: list[list[int]] = []
    for wanted in (test, validation, training):
        side: list[int] = []
        while order and len(side) < wanted:
            side += groups[order.pop(0)]
        sides.append(sorted(side))
    if not all(sides):
        raise ExperimentError(
            f"{total} images of {len(groups)} subjects are too few for training, validation and test; "
            "give more."
        )
    return Sides(tuple(sides[2]), tuple(sides[1]), tuple(sides[0]))


def proportional(total: int) -> tuple[int, int, int]:
    """All of `total` images, divided as the paper did: 139 : 20 : 50, at least one for each side."""
    _, validation, test = (max(1, round(total * part / sum(PAPER_SPLIT))) for part in PAPER_SPLIT)
    return max(1, total - validation - test), validation, test


def start_set(training: Sequence[int], count: int, seed: int) -> list[int]:
    """The images labelled first: `count` of the pool at random, by the seed alone."""
    order = np.random.default_rng([seed, 0]).permutation(len(training))
    return [training[position] for position in order[:count]]
