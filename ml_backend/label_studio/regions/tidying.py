"""Label maps made fit for editing: without specks and small holes, and with a limited number of components.

Only what annotators are shown is tidied. Scores belong to the masks as the network drew them.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

SMALLEST = 0.0001
"""Default of `Limits.smallest`: 300 of 2000 × 1500 pixels. In 1 400 real masks of hands, legs, nuclei, teeth,
lungs and breast lesions, the smallest structure covers 0.00013 of its image. Smaller parts in teeth, lung and
lesion masks are drawing errors of a few pixels, at most 0.005 % of a set's foreground pixels."""
MOST_REGIONS = 100
"""Default of `Limits.regions`: the most that any of these masks has is 72, of nuclei."""
MOST_POINTS = 2000
"""Default of `Limits.points`: the most that any of 234 of these masks has is 1 155, of nuclei."""

MEDIANS = (3, 5, 9, 17, 33)
"""Sides in pixels of the median filters that simplify a mask with too many components, one after another."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Limits:
    """What a mask must keep to before an annotator gets it to edit.

    Attributes:
        smallest: share of the image's pixels, in [0, 1], below which a component of a label is a speck and is
            dropped, and a hole is filled.
        regions: most components of one label, at least 1.
        points: most points of the outlines of one label, all together, at least 4; for polygons and vectors.
    """

    smallest: float = SMALLEST
    regions: int = MOST_REGIONS
    points: int = MOST_POINTS


def tidied(labels: NDArray[np.uint8], limits: Limits) -> NDArray[np.uint8]:
    """A copy of a label map (H, W) that keeps to the limits.

    A component is a set of pixels of one label connected by edges or corners. A hole is background that one
    label alone encloses; what lies between several labels, or at the image's edge, stays. A label with more
    components than allowed is smoothed with ever larger median filters; if too many are left, the largest are
    kept. No pixel of another label changes.
    """
    least = limits.smallest * labels.size
    tidy = labels.copy()
    drawn = np.flatnonzero(cv2.calcHist([labels], [0], None, [256], [0, 256]))
    for index in drawn[drawn > 0]:
        mask = labels == index
        # A median filter may move the boundary by half its side.
        box = _box(mask, MEDIANS[-1])
        kept = _simplified(mask[box], tidy[box], least, limits.regions)
        if kept is not None:
            tidy[box][mask[box]] = 0
            tidy[box][kept] = index
    _fill_holes(tidy, least)
    return tidy


def _box(mask: Mask, margin: int) -> tuple[slice, slice]:
    """Rows and columns of the pixels of a mask (H, W), and of a margin around them."""
    height, width = mask.shape
    left, top, across, along = cv2.boundingRect(mask.view(np.uint8))
    return (
        slice(max(top - margin, 0), min(top + along + margin, height)),
        slice(max(left - margin, 0), min(left + across + margin, width)),
    )


def _simplified(mask: Mask, labels: NDArray[np.uint8], least: float, most: int) -> Mask | None:
    """At most `most` components that are worth drawing, without other labels' pixels; None if all are."""
    kept, count = _without_specks(mask, least, most)
    if count <= most:
        return kept
    free = mask | (labels == 0)
    smooth = mask.view(np.uint8)
    for side in MEDIANS:
        smooth = np.asarray(cv2.medianBlur(smooth, side), np.uint8)
        found = smooth.view(np.bool_) & free
        large, count = _without_specks(found, least, most)
        if 0 < count <= most:
            return found if large is None else large
    return kept


def _without_specks(mask: Mask, least: float, most: int) -> tuple[Mask | None, int]:
    """The largest `most` components with `least` pixels (None for all components), and how many have them."""
    _, parts, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    areas = stats[1:, cv2.CC_STAT_AREA]
    large = np.flatnonzero(areas >= least)
    if len(large) == len(areas) <= most:
        return None, len(large)
    kept = np.zeros(len(stats), np.bool_)
    kept[1 + large[np.argsort(-areas[large], kind="stable")][:most]] = True
    return kept[parts], len(large)


def _fill_holes(labels: NDArray[np.uint8], least: float) -> None:
    """Give the background that one label encloses, fewer than `least` pixels, to that label."""
    part = labels[_box((labels > 0), 1)]
    height, width = part.shape
    if not part.size:
        return
    _, parts, stats, _ = cv2.connectedComponentsWithStats((part == 0).view(np.uint8), connectivity=4)
    left, top, across, along, areas = stats.T
    inside = (left > 0) & (top > 0) & (left + across < width) & (top + along < height)
    small = inside & (areas < least)
    small[0] = False
    if not small.any():
        return
    rows, columns = np.nonzero(small[parts])
    hole = parts[rows, columns]
    lowest, highest = np.full(len(stats), 256), np.zeros(len(stats), np.int64)
    for down, right in ((-1, 0), (1, 0), (0, -1), (0, 1)):
        beside = part[rows + down, columns + right]
        np.minimum.at(lowest, hole[beside > 0], beside[beside > 0])
        np.maximum.at(highest, hole, beside)
    filled = (lowest == highest)[hole]
    part[rows[filled], columns[filled]] = highest[hole[filled]]
