"""The consistency score, equation (3) of Zhao et al. (2020): how far hidden and final masks agree.

Conventions for cases that the equation leaves open:

- Two empty masks have Dice 1.0. This matters for a label that occurs in only one of the three masks.
- An empty and a non-empty mask have Dice 0.0.
- Labels that occur in none of the three masks are left out of the average.
- A *blank* prediction, whose final mask has no label, gets L-DSC, M-DSC and score 0.0 and `blank` set, so it
  never ranks above an image on which something was found.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

EXACT_COUNTS = 2**24


@dataclass(frozen=True)
class Consistency:
    """Agreement of one image's three masks; all numbers are in [0, 1].

    Attributes:
        l_dsc: Dice of the lower and the final mask (L-DSC), averaged over labels.
        m_dsc: Dice of the middle and the final mask (M-DSC), averaged over labels.
        score: mean of the two.
        blank: whether the final mask has no label; the three numbers are then 0.
    """

    l_dsc: float
    m_dsc: float
    score: float
    blank: bool


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Dice similarity 2|a ∩ b| / (|a| + |b|) of two masks (H, W), in [0, 1]; 1.0 if both are empty.

    Raises:
        ValueError: the sizes differ.
    """
    if a.shape != b.shape:
        raise ValueError(f"Masks of different sizes cannot be compared: {a.shape} and {b.shape}.")
    return _ratio(int(np.count_nonzero(a & b)), int(np.count_nonzero(a)), int(np.count_nonzero(b)))


def consistency(
    lower: NDArray[np.uint8], middle: NDArray[np.uint8], final: NDArray[np.uint8], labels: int
) -> Consistency:
    """Equation (3) on hard masks, computed per label and averaged over the labels that occur in any mask.

    Args:
        lower, middle, final: label maps (H, W); 0 is background, label i has index i + 1.
        labels: number of labels, the largest class index.

    Raises:
        ValueError: the sizes differ, or a map contains an index larger than `labels`.
    """
    if not lower.shape == middle.shape == final.shape:
        raise ValueError(f"Label maps differ in size: {lower.shape}, {middle.shape}, {final.shape}.")
    lower_joint = _joint_counts(lower, final, labels + 1)
    middle_joint = _joint_counts(middle, final, labels + 1)
    final_areas, lower_areas, middle_areas = (
        lower_joint.sum(axis=0),
        lower_joint.sum(axis=1),
        middle_joint.sum(axis=1),
    )
    if not final_areas[1:].any():
        return Consistency(0.0, 0.0, 0.0, blank=True)
    present = [k for k in range(1, labels + 1) if final_areas[k] or lower_areas[k] or middle_areas[k]]
    l_dsc, m_dsc = (
        float(np.mean([_ratio(int(joint[k, k]), int(areas[k]), int(final_areas[k])) for k in present]))
        for joint, areas in ((lower_joint, lower_areas), (middle_joint, middle_areas))
    )
    return Consistency(l_dsc, m_dsc, (l_dsc + m_dsc) / 2, blank=False)


def _ratio(common: int, first: int, second: int) -> float:
    return 2 * common / (first + second) if first + second else 1.0


def _joint_counts(a: NDArray[np.uint8], b: NDArray[np.uint8], classes: int) -> NDArray[np.int64]:
    """Number of pixels with each (class in a, class in b), as (classes, classes)."""
    if classes == 2:
        return _joint_counts_of_two(a, b)
    largest = int(max(a.max(initial=0), b.max(initial=0)))
    if largest >= classes:
        raise ValueError(f"A label map contains index {largest}, but there are only {classes - 1} labels.")
    codes = np.multiply(a, classes, dtype=np.uint16)
    codes += b
    counts = np.zeros(classes * classes, np.int64)
    flat = codes.ravel()
    # OpenCV's histogram takes half of numpy's time, but has float32 counts, which are exact up to 2²⁴.
    for start in range(0, flat.size, EXACT_COUNTS):
        part = flat[start : start + EXACT_COUNTS]
        counts += cv2.calcHist([part], [0], None, [len(counts)], [0, len(counts)])[:, 0].astype(np.int64)
    return counts.reshape(classes, classes)


def _joint_counts_of_two(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.int64]:
    """`_joint_counts` for one label, without an integer array eight times as large as the maps."""
    largest = int(max(a.max(initial=0), b.max(initial=0)))
    if largest > 1:
        raise ValueError(f"A label map contains index {largest}, but there is only 1 label.")
    common, in_a, in_b = (int(np.count_nonzero(mask)) for mask in (a & b, a, b))
    return np.array([[a.size - in_a - in_b + common, in_b - common], [in_a - common, common]], dtype=np.int64)
