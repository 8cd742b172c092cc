"""Faults that annotators make, for measuring whether they are found (`model.suspicion`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import cv2
import numpy as np
from numpy.typing import NDArray

from model.loss import IGNORE_INDEX

LEAST = 30
"""Fewest pixels of an object that is forgotten: nobody looks for a smaller one."""
SHIFTS = (3, 8)
"""Shortest and longest shift in pixels of the image."""
TRIES = 200
"""Places that are tried for a blob."""


@dataclass(frozen=True, eq=False)
class Object:
    """One connected part of a label.

    Attributes:
        label: class index, from 1.
        mask: (H, W).
    """

    label: int
    mask: NDArray[np.bool_]

    @property
    def pixels(self) -> int:
        """Its size."""
        return int(self.mask.sum())


Fault = Callable[[NDArray[np.uint8], np.random.Generator], NDArray[np.uint8] | None]
"""Spoils a label map (H, W); returns a new one, or None where the fault is impossible."""


def objects(labels: NDArray[np.uint8]) -> list[Object]:
    """The connected parts (8 neighbours) of all labels that have at least `LEAST` pixels."""
    found = []
    for label in np.unique(labels[(labels > 0) & (labels != IGNORE_INDEX)]):
        count, parts, stats, _ = cv2.connectedComponentsWithStats((labels == label).astype(np.uint8))
        found += [
            Object(int(label), parts == part)
            for part in range(1, count)
            if stats[part, cv2.CC_STAT_AREA] >= LEAST
        ]
    return found


def missing(labels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8] | None:
    """One object was forgotten."""
    every = objects(labels)
    if not every:
        return None
    gone = every[rng.integers(len(every))]
    return np.where(gone.mask, 0, labels).astype(np.uint8)


def swapped(labels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8] | None:
    """One object has the label of another object of the image."""
    every = objects(labels)
    chosen = every[rng.integers(len(every))] if every else None
    others = [] if chosen is None else sorted({one.label for one in every} - {chosen.label})
    if chosen is None or not others:
        return None
    return np.where(chosen.mask, others[rng.integers(len(others))], labels).astype(np.uint8)


def shifted(labels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8] | None:
    """The whole mask lies a few pixels beside the objects (`SHIFTS`), in any direction."""
    if not (labels > 0).any():
        return None
    far, angle = rng.uniform(*SHIFTS), rng.uniform(0, 2 * np.pi)
    move = np.array([[1, 0, round(far * np.cos(angle))], [0, 1, round(far * np.sin(angle))]], np.float64)
    size = (labels.shape[1], labels.shape[0])
    return np.asarray(cv2.warpAffine(labels, move, size, flags=cv2.INTER_NEAREST), np.uint8)


def blob(labels: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8] | None:
    """An ellipse too many on the background, of half to one and a half times an object's area."""
    every = objects(labels)
    if not every:
        return None
    like = every[rng.integers(len(every))]
    radius = np.sqrt(like.pixels * rng.uniform(0.5, 1.5) / np.pi)
    stretch = rng.uniform(0.7, 1.4)
    height, width = labels.shape
    axes = (min(radius * stretch, width / 4), min(radius / stretch, height / 4))
    size = (max(round(axes[0]), 3), max(round(axes[1]), 3))
    for _ in range(TRIES):
        drawn = np.zeros(labels.shape, np.uint8)
        middle = (int(rng.integers(width)), int(rng.integers(height)))
        cv2.ellipse(drawn, middle, size, float(rng.uniform(0, 180)), 0, 360, 1, -1)
        if not (labels[drawn > 0] > 0).any():
            return np.where(drawn > 0, like.label, labels).astype(np.uint8)
    return None


FAULTS: Mapping[str, Fault] = MappingProxyType(
    {"missing": missing, "swapped": swapped, "shifted": shifted, "blob": blob}
)
"""All kinds by name."""
