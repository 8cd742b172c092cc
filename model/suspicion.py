"""Labels to look at again: where a mask contradicts a network that has not learned from it.

The network must not have trained on the label, or it has learned the fault (`model.training.cross_fitting`).
Two kinds of evidence are gathered from its probabilities:

- *regions*: connected parts where the network sees another class than the mask has. Thin ones are left out,
  since outlines are never the same. A region counts by how much more probable the seen class is than the
  given one, as the mean logarithm over its pixels, and by its size beside the image's objects. Softmin of the
  given class's probability over all pixels, with which cleanlab scores masks (Lad and Mueller 2023,
  "Estimating label quality and errors in semantic segmentation data via any model"), is dominated by
  outlines, and adds nothing to these.
- *displacement*: how much better the whole mask would agree with the probabilities a few pixels further on.
  No single region shows such a shift, and where objects are thin it is a fault all the same.

People make one fault in a mask; a network that fails on an image fails everywhere. So either counts only as
far as mask and network agree otherwise (the Dice of the rest, cubed): without that, images that the network
cannot read come before most faults. The larger of the two is the evidence against a label. Which rule and
constants, was chosen by `benchmarks/suspicious.py`; docs/science.md says how well it works on other images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.loss import IGNORE_INDEX

REACH = 10
"""Longest displacement that is tried, in pixels of the examined map along each axis."""
THIN = 2
"""Regions that are nowhere wider than 2 · THIN + 1 pixels of the canvas are differences of outlines."""
SIZE_FULL = 0.7
"""Size from which on a region counts fully, as a share of the median object of the image."""
SMALL_OBJECT = 30
"""Objects of fewer pixels say nothing about how large objects are."""
LEAST_PROBABILITY = 1e-4
"""Smaller probabilities count as this one."""
GAIN_NATS = 40.0
"""How much evidence a displacement is that loses all agreement, in nats."""
REST_POWER = 3
"""Power of the Dice of the rest."""
LEAST_REST = 0.6
"""Smaller Dice of the rest counts as this, so that a mask without anything right is found as well."""
LISTED = 3.0
"""Distance from the median, in robust standard deviations, from which on a label is listed."""
LEAST = 0.7
"""Least evidence for which a label is listed, in nats, however much alike the others are."""


@dataclass(frozen=True)
class Region:
    """A part of the image where mask and network disagree.

    Attributes:
        given, seen: class index in the mask, and that of the network; 0 is background.
        pixels: its size.
        certainty: mean of the network's probability of `seen`, less that of `given`, in [0, 1].
        box: (left, top, right, bottom) in pixels of the image, right and bottom exclusive.
        weight: how much it speaks against the mask, in nats, at least 0.
    """

    given: int
    seen: int
    pixels: int
    certainty: float
    box: tuple[int, int, int, int]
    weight: float


@dataclass(frozen=True)
class Evidence:
    """What speaks against a mask.

    Attributes:
        regions: the regions, the weightiest first.
        displacement: (x, y) in pixels of the image by which the mask agrees best with the network.
        gain: how much of the best agreement is missing without it, in [0, 1].
        agreement: Dice of the mask with the network's after it, in [0, 1].
    """

    regions: tuple[Region, ...]
    displacement: tuple[int, int]
    gain: float
    agreement: float

    @property
    def by_region(self) -> float:
        """Weight of the weightiest region, in nats; 0 without regions."""
        return self.regions[0].weight if self.regions else 0.0

    @property
    def by_displacement(self) -> float:
        """How much the displacement speaks against the mask, in nats, at least 0."""
        return float(GAIN_NATS * self.gain * self.agreement**REST_POWER)


@dataclass(frozen=True)
class Suspicion:
    """A label among the others.

    Attributes:
        score: in [0, 1), rising with the evidence; 0.5 or more if it is listed.
        is_listed: whether somebody should look at it.
        is_displaced: whether the displacement says more than the regions.
    """

    score: float
    is_listed: bool
    is_displaced: bool


def examine(probabilities: NDArray[np.floating], labels: NDArray[np.uint8], *, size: int) -> Evidence:
    """Compare a mask with a network's probabilities.

    Args:
        probabilities: (C, H, W) in [0, 1]; class 0 is background.
        labels: label map (H, W); 255 is unknown and never disagrees.
        size: longer side of the network's canvas in pixels: finer differences are not seen by the network.

    Raises:
        ValueError: the sizes differ, or the map has a class that the probabilities lack.
    """
    if probabilities.shape[1:] != labels.shape:
        raise ValueError(f"Mask and probabilities differ in size: {labels.shape}, {probabilities.shape[1:]}.")
    known = labels != IGNORE_INDEX
    given = np.where(known, labels, 0).astype(np.uint8)
    if given.max(initial=0) >= len(probabilities):
        raise ValueError(f"The mask has class {given.max()}, the network only {len(probabilities)} classes.")
    seen = np.where(known, probabilities.argmax(axis=0), given).astype(np.uint8)
    displacement, gain = _displacement(probabilities, given)
    x, y = displacement
    move = np.array([[1, 0, x], [0, 1, y]], np.float64)
    moved = cv2.warpAffine(given, move, (given.shape[1], given.shape[0]), flags=cv2.INTER_NEAREST)
    agreement = _dice(_overlap(np.asarray(moved, np.uint8), seen), int((moved > 0).sum() + (seen > 0).sum()))
    return Evidence(_regions(probabilities, given, seen, size), displacement, gain, agreement)


def judge(evidence: Sequence[Evidence]) -> list[Suspicion]:
    """Judge labels of one project among each other; results in the same order."""
    if not evidence:
        return []
    most = np.array([max(one.by_region, one.by_displacement) for one in evidence])
    middle = float(np.median(most))
    spread = 1.4826 * float(np.median(np.abs(most - middle)))
    least = max(LEAST, middle + LISTED * spread)
    return [
        Suspicion(float(value / (value + least)), bool(value >= least), one.by_displacement > one.by_region)
        for value, one in zip(most, evidence, strict=True)
    ]


def in_words(evidence: Evidence, suspicion: Suspicion, names: Sequence[str]) -> str:
    """What looks wrong, such as "340 pixels of Femur that the network does not see".

    Args:
        evidence: of the label.
        suspicion: the judgement.
        names: of the labels; class i has the name i − 1.
    """
    if suspicion.is_displaced or not evidence.regions:
        x, y = evidence.displacement
        ways = [
            f"{abs(by)} {'pixel' if abs(by) == 1 else 'pixels'} further {way}"
            for by, way in ((x, "right" if x > 0 else "left"), (y, "down" if y > 0 else "up"))
            if by
        ]
        if not ways:
            return "nothing in particular"
        return f"the mask would fit better {' and '.join(ways)}"
    region = evidence.regions[0]
    if region.seen == 0:
        return f"{region.pixels} pixels of {names[region.given - 1]} where the network sees nothing"
    if region.given == 0:
        return f"{region.pixels} pixels without a label where the network sees {names[region.seen - 1]}"
    return (
        f"{region.pixels} pixels of {names[region.given - 1]} where the network sees {names[region.seen - 1]}"
    )


def _regions(
    probabilities: NDArray[np.floating], given: NDArray[np.uint8], seen: NDArray[np.uint8], size: int
) -> tuple[Region, ...]:
    reach = max(1, round(THIN * max(given.shape) / size / 2))
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
    typical = _object_size(given, seen)
    agreed, drawn, sighted = _overlap(given, seen), int((given > 0).sum()), int((seen > 0).sum())
    logs = np.log(np.clip(probabilities, LEAST_PROBABILITY, 1.0)).astype(np.float64)
    found = []
    # Pairs of classes one by one, so that a forgotten object that touches a wrong one is a region of its own.
    pairs = given.astype(np.int32) * len(probabilities) + seen
    for pair in np.unique(pairs[given != seen]):
        was, now = divmod(int(pair), len(probabilities))
        part = cv2.morphologyEx((pairs == pair).astype(np.uint8), cv2.MORPH_OPEN, kernel)
        count, numbered, stats, _ = cv2.connectedComponentsWithStats(part)
        if count == 1:
            continue
        parts = np.asarray(numbered, np.int32)
        leads = _sums(parts, probabilities[now] - probabilities[was], count)
        ratios = _sums(parts, logs[now] - logs[was], count)
        for index in range(1, count):
            left, top, width, height, pixels = (int(value) for value in stats[index])
            certainty = float(np.clip(leads[index] / pixels, 0.0, 1.0))
            rest = max(_dice(agreed, drawn + sighted - pixels * ((was > 0) + (now > 0))), LEAST_REST)
            share = min(1.0, pixels / (SIZE_FULL * typical))
            weight = max(float(ratios[index] / pixels), 0.0) * share * rest**REST_POWER
            box = (left, top, left + width, top + height)
            found.append(Region(was, now, pixels, certainty, box, weight))
    return tuple(sorted(found, key=lambda one: (-one.weight, one.box)))


def _sums(parts: NDArray[np.int32], values: NDArray[np.floating], count: int) -> NDArray[np.float64]:
    """Sum of values (H, W) over each of `count` parts, which `parts` (H, W) numbers."""
    sums = np.bincount(parts.ravel(), weights=values.ravel().astype(np.float64), minlength=count)
    return np.asarray(sums, np.float64)


def _object_size(*maps: NDArray[np.uint8]) -> float:
    """Median size in pixels of the objects in label maps; 1 without objects."""
    sizes = []
    for labels in maps:
        for label in np.unique(labels[labels > 0]):
            stats = cv2.connectedComponentsWithStats((labels == label).astype(np.uint8))[2]
            sizes += [int(pixels) for pixels in stats[1:, cv2.CC_STAT_AREA] if pixels >= SMALL_OBJECT]
    return float(np.median(sizes)) if sizes else 1.0


def _displacement(
    probabilities: NDArray[np.floating], given: NDArray[np.uint8]
) -> tuple[tuple[int, int], float]:
    """The displacement (x, y) at which the mask covers the most probability of its classes, and its gain."""
    total = np.zeros((2 * REACH + 1, 2 * REACH + 1))
    for label in np.unique(given[given > 0]):
        plane = np.ascontiguousarray(probabilities[label], np.float32)
        around = cv2.copyMakeBorder(plane, REACH, REACH, REACH, REACH, cv2.BORDER_CONSTANT, value=0)
        mask = (given == label).astype(np.float32)
        total += np.asarray(cv2.matchTemplate(around, mask, cv2.TM_CCORR), np.float64)
    best = float(total.max())
    if best <= 0:
        return (0, 0), 0.0
    y, x = np.unravel_index(int(total.argmax()), total.shape)
    gain = (best - float(total[REACH, REACH])) / best
    return (int(x) - REACH, int(y) - REACH), float(np.clip(gain, 0.0, 1.0))


def _overlap(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> int:
    """Pixels that have the same label in both maps, other than background."""
    return int(((first == second) & (first > 0)).sum())


def _dice(agreed: int, both: int) -> float:
    """Dice of `agreed` pixels, of `both` masks together; 1 if there is nothing that could disagree."""
    return min(1.0, 2 * agreed / both) if both > 0 else 1.0
