"""Which examples a step learns from, and which part of a large canvas."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.loss import IGNORE_INDEX
from model.training.dataset import Example

SIDED_IMAGES = 5
"""Fewest images of a label from which its side is concluded."""
SIDED_SHARE = 0.9
"""Share of its images in which a label must be on the same side of the others."""
SIDED_OFFSET = 0.05
"""How far, as a share of the canvas's width, its centre must lie from the mean of all labels' centres."""


class Sampler:
    """The order of examples; the example at a position of the endless sequence is always the same.

    Without `balanced`, each epoch is a permutation of the examples. With it, every second position belongs to
    a label instead: labels take turns, and each has its own permutations of the examples that contain it. So
    a label on one image in ten is learned as often as one on all images, at half of the positions.

    Args:
        examples: at least one.
        seed: of all permutations.
        balanced: whether labels take turns; without effect if there are fewer than two labels.
    """

    def __init__(self, examples: Sequence[Example], seed: int, *, balanced: bool) -> None:
        self._count = len(examples)
        self._seed = seed
        self._members = members(examples) if balanced else {}

    def at(self, position: int) -> tuple[int, int | None]:
        """Index of the example at a position (from 0), and the label that chose it, if one did."""
        if len(self._members) < 2:
            return self._drawn(position, self._count, 0), None
        turn, odd = divmod(position, 2)
        if not odd:
            return self._drawn(turn, self._count, 0), None
        labels = sorted(self._members)
        label = labels[self._drawn(turn, len(labels), 1)]
        found = self._members[label]
        return found[self._drawn(turn // len(labels), len(found), 1 + label)], label

    def _drawn(self, position: int, count: int, stream: int) -> int:
        epoch, place = divmod(position, count)
        # Stream 0 has the seed of earlier releases, so that their runs can be repeated.
        seed = [self._seed, epoch, stream] if stream else [self._seed, epoch]
        return int(np.random.default_rng(seed).permutation(count)[place])


def members(examples: Sequence[Example]) -> dict[int, list[int]]:
    """Indices of the examples that contain each label, by the label's class index."""
    found: dict[int, list[int]] = {}
    for index, example in enumerate(examples):
        for label in _labels_in(example.mask):
            found.setdefault(label, []).append(index)
    return found


def _labels_in(mask: NDArray[np.uint8]) -> list[int]:
    # Ten times as fast as numpy's unique, which sorts the pixels.
    counts = np.bincount(mask.ravel(), minlength=IGNORE_INDEX + 1)
    return [int(label) for label in np.flatnonzero(counts) if label not in (0, IGNORE_INDEX)]


def have_sides(examples: Sequence[Example]) -> bool:
    """Whether a label is nearly always on the same side of the other labels, as the left lung of the right.

    Mirroring would show each of these labels on the wrong side, and the network would confuse them.
    """
    offsets: dict[int, list[float]] = {}
    for example in examples:
        columns = {label: _centre(example.mask == label) for label in _labels_in(example.mask)}
        middle = float(np.mean(list(columns.values()))) if columns else 0.0
        for label, column in columns.items():
            offsets.setdefault(label, []).append((column - middle) / example.mask.shape[1])
    return any(_one_sided(np.asarray(found)) for found in offsets.values())


def _centre(drawn: NDArray[np.bool_]) -> float:
    """Mean column of the pixels of a mask (h, w) that is not empty."""
    counts = drawn.sum(0)
    return float((counts * np.arange(len(counts))).sum() / counts.sum())


def _one_sided(offsets: NDArray[np.float64]) -> bool:
    if len(offsets) < SIDED_IMAGES:
        return False
    left, right = (float(np.mean(sign * offsets > SIDED_OFFSET)) for sign in (-1, 1))
    return max(left, right) >= SIDED_SHARE
