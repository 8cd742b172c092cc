"""The consistency score: how far the hidden classifiers' masks agree with the final one (equation 3).

Conventions for what the equation leaves open:

- two empty masks agree: Dice 1.0 (it matters for a label that only one of the three masks holds);
- one empty mask against one that is not: Dice 0.0;
- labels that none of the three masks holds are left out of the average;
- a *blank* prediction (final mask without any label) has nothing to agree about: L-DSC, M-DSC and
  score are 0.0 and `blank` is set, so it never comes before an image on which something was found.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Consistency:
    """Agreement of one image's three masks.

    Attributes:
        l_dsc: Dice of the lower mask against the final one, in [0, 1], averaged over labels.
        m_dsc: the same for the middle mask.
        score: mean of the two, what orders the images.
        blank: the final mask holds no label; all three numbers are then 0.
    """

    l_dsc: float
    m_dsc: float
    score: float
    blank: bool


def dice(a: NDArray[np.bool_], b: NDArray[np.bool_]) -> float:
    """Dice similarity 2|a ∩ b| / (|a| + |b|) of two masks (H, W), in [0, 1]; 1.0 if both are empty."""
    if a.shape != b.shape:
        raise ValueError(f"Masks of different sizes cannot be compared: {a.shape} and {b.shape}.")
    return _ratio(int(np.count_nonzero(a & b)), int(np.count_nonzero(a)), int(np.count_nonzero(b)))


def consistency(
    lower: NDArray[np.uint8], middle: NDArray[np.uint8], final: NDArray[np.uint8], labels: int
) -> Consistency:
    """Equation (3) on hard masks, per label, averaged over the labels present in any of the masks.

    Args:
        lower, middle, final: label maps (H, W); 0 is background, label i has index i + 1.
        labels: number of labels; all indices are at most this.

    Raises:
        ValueError: if the maps differ in size or hold an index beyond `labels`.
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
    """Pixels by (class in a, class in b): (classes, classes)."""
    if classes == 2:
        return _joint_counts_of_two(a, b)
    codes = np.multiply(a, classes, dtype=np.uint16)
    codes += b
    counts = np.bincount(codes.ravel(), minlength=classes * classes)
    largest = int(max(a.max(initial=0), b.max(initial=0)))
    if largest >= classes:
        raise ValueError(f"A label map holds index {largest}, but there are only {classes - 1} labels.")
    return counts.reshape(classes, classes)


def _joint_counts_of_two(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.int64]:
    """The same for one label, without an integer array eight times as large as the maps."""
    largest = int(max(a.max(initial=0), b.max(initial=0)))
    if largest > 1:
        raise ValueError(f"A label map holds index {largest}, but there is only 1 label.")
    common, in_a, in_b = (int(np.count_nonzero(mask)) for mask in (a & b, a, b))
    return np.array([[a.size - in_a - in_b + common, in_b - common], [in_a - common, common]], dtype=np.int64)
