"""Labels to look at again: where a mask contradicts a network that has not learned from it.

The network must not have trained on the label, or it has learned the fault (`model.training.cross_fitting`).
Two kinds of evidence are gathered from its probabilities:

- *regions*: connected parts where the network sees another class than the mask has. Thin ones are left out,
  since outlines are never the same. A region counts by the square of the network's certainty and by its size
  beside the image's objects. Softmin of the given class's probability over the pixels, with which cleanlab
  scores masks (Lad and Mueller 2023, "Estimating label quality and errors in semantic segmentation data via
  any model"), is dominated by outlines: it found half as many of the forgotten objects.
- *displacement*: how much better the whole mask would agree with the probabilities a few pixels further on.
  No single region shows such a shift, and where objects are thin it is a fault all the same.

How large such values are where nothing is wrong depends on images and network. So a label is judged by how
far it stands out among the labels of its project, each kind of evidence by itself.
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
SIZE_FULL = 0.5
"""Size from which on a region counts fully, as a share of the median object of the image."""
SMALL_OBJECT = 30
"""Objects of fewer pixels say nothing about how large objects are."""
TEMPERATURE = 0.1
"""Of the soft minimum, as in cleanlab."""
REGION_SPREAD, GAIN_SPREAD = 0.05, 0.01
"""Smallest spreads of the weight and the gain that are assumed, so that tiny differences among good labels do
not count."""
LISTED = 4.0
"""Distance from the median, in robust standard deviations, from which on a label is listed."""
LEAST_WEIGHT, LEAST_GAIN = 0.2, 0.03
"""Smallest weight and gain for which a label is listed, however much alike the others are."""


@dataclass(frozen=True)
class Region:
    """A part of the image where mask and network disagree.

    Attributes:
        given, seen: class index in the mask, and that of the network; 0 is background.
        pixels: its size.
        certainty: mean of the network's probability of `seen`, less that of `given`, in [0, 1].
        box: (left, top, right, bottom) in pixels of the image, right and bottom exclusive.
        weight: how much it speaks against the mask, in [0, 1].
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
        softmin: of the given class's probability over the pixels, in [0, 1]; 1 where nothing contradicts.
    """

    regions: tuple[Region, ...]
    displacement: tuple[int, int]
    gain: float
    softmin: float = 1.0

    @property
    def weight(self) -> float:
        """That of the weightiest region, in [0, 1]; 0 without regions."""
        return self.regions[0].weight if self.regions else 0.0


@dataclass(frozen=True)
class Suspicion:
    """A label among the others.

    Attributes:
        score: in [0, 1); 0.5 from `LISTED` robust standard deviations on, rising.
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
    regions = _regions(probabilities, given, seen, size)
    return Evidence(regions, displacement, gain, _softmin(probabilities, given, known))


def judge(evidence: Sequence[Evidence]) -> list[Suspicion]:
    """Judge labels of one project among each other; results in the same order."""
    if not evidence:
        return []
    weights = np.array([one.weight for one in evidence])
    gains = np.array([one.gain for one in evidence])
    by_region, by_gain = _deviations(weights, REGION_SPREAD), _deviations(gains, GAIN_SPREAD)
    most = np.maximum(by_region, by_gain)
    scores = np.maximum(most, 0.0) / (np.maximum(most, 0.0) + LISTED)
    by_weight = (by_region >= LISTED) & (weights >= LEAST_WEIGHT)
    by_shift = (by_gain >= LISTED) & (gains >= LEAST_GAIN)
    # A displacement that gains next to nothing must not hide a region that does speak against the mask.
    displaced = (by_gain > by_region) & (by_shift | ~by_weight)
    return [
        Suspicion(float(score), bool(listed), bool(shifted))
        for score, listed, shifted in zip(scores, by_weight | by_shift, displaced, strict=True)
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
    found = []
    # Pairs of classes one by one, so that a forgotten object that touches a wrong one is a region of its own.
    pairs = given.astype(np.int32) * len(probabilities) + seen
    for pair in np.unique(pairs[given != seen]):
        was, now = divmod(int(pair), len(probabilities))
        part = cv2.morphologyEx((pairs == pair).astype(np.uint8), cv2.MORPH_OPEN, kernel)
        count, parts, stats, _ = cv2.connectedComponentsWithStats(part)
        if count == 1:
            continue
        lead = (probabilities[now] - probabilities[was]).astype(np.float64)
        sums = np.bincount(parts.ravel(), weights=lead.ravel(), minlength=count)
        for index in range(1, count):
            left, top, width, height, pixels = (int(value) for value in stats[index])
            certainty = float(np.clip(sums[index] / pixels, 0.0, 1.0))
            weight = certainty**2 * min(1.0, pixels / (SIZE_FULL * typical))
            box = (left, top, left + width, top + height)
            found.append(Region(was, now, pixels, certainty, box, weight))
    return tuple(sorted(found, key=lambda one: (-one.weight, one.box)))


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


def _softmin(
    probabilities: NDArray[np.floating], given: NDArray[np.uint8], known: NDArray[np.bool_]
) -> float:
    """Soft minimum of the given class's probability over the known pixels, at `TEMPERATURE`."""
    chosen = np.take_along_axis(probabilities, given[np.newaxis].astype(np.int64), axis=0)[0][known]
    if not chosen.size:
        return 1.0
    weights = np.exp((1.0 - chosen.astype(np.float64)) / TEMPERATURE)
    return float((chosen * weights).sum() / weights.sum())


def _deviations(values: NDArray[np.float64], least: float) -> NDArray[np.float64]:
    """Distances from the median in robust standard deviations (1.4826 · MAD), of at least `least`."""
    middle = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - middle))
    deviations: NDArray[np.float64] = (values - middle) / max(float(spread), least)
    return deviations
