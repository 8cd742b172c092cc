"""Estimate of a mask's real Dice (R-DSC) from the network's confidence in it, with a prediction interval.

Figure 3 of Zhao et al. (2020) shows that R-DSC rises with the consistency score. It rises more steadily with
`Measurement.confidence`, the mean of that score and of the certainty along the mask's boundary. The relation
is fitted on the validation images, whose truth is known: an isotonic regression gives the estimate, and the
leave-one-out residuals give the width of the interval (jackknife with the finite-sample quantile of conformal
prediction, Barber et al. 2021). The coverage is valid on average, for images like the validation images.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MIN_IMAGES = 5
"""Fewest images for a calibration or a comparison; with fewer, one image would weigh more than a fifth."""

LEVEL = 0.9
"""Probability that the interval should contain R-DSC."""


class Estimate(NamedTuple):
    """Estimated R-DSC of a mask, and the interval [low, high] of the calibration's `level`; all in [0, 1]."""

    dsc: float
    low: float
    high: float


STARTED = ((0.3, 0.02), (0.6, 0.15), (0.7, 0.3), (0.9, 0.96))
"""(confidence, R-DSC) of weights that have learned nothing of a project. The shipped ones have at least 0.89
and 0.96 on hand radiographs, and at most 0.73 and 0.62 on lungs, legs, teeth, lesions and nuclei."""
TRAINED = ((0.1, 0.1), (0.4, 0.26), (0.5, 0.55), (0.7, 0.6), (0.8, 0.93), (0.9, 0.96))
"""The same of weights that have learned from a project's own labels, however little."""


def rough_estimate(confidence: float, *, is_trained: bool) -> float:
    """Estimate R-DSC of a non-blank mask from its confidence alone, in [0, 1]; wrong by 0.2 on average.

    Args:
        confidence: `Measurement.confidence`, in [0, 1].
        is_trained: whether the weights learned from labels of the same project. Foreign images can look as
            certain to a network as its own do soon after the start of a training.
    """
    knots, values = zip(*(TRAINED if is_trained else STARTED), strict=True)
    return float(np.interp(confidence, knots, values))


@dataclass(frozen=True)
class Calibration:
    """R-DSC as a function of confidence under one version.

    Attributes:
        confidences: knots of the regression, ascending, in [0, 1].
        values: R-DSC at the knots, non-decreasing; linear between them, constant beyond.
        margin: half the width of the interval, before it is clipped to [0, 1].
        level: probability that the interval contains R-DSC: 0.9, or n / (n + 1) for n < 9 images.
        images: number of images it was fitted on.
    """

    confidences: tuple[float, ...]
    values: tuple[float, ...]
    margin: float
    level: float
    images: int

    def estimate(self, confidence: float) -> Estimate:
        """Estimate R-DSC of a non-blank mask from its confidence in [0, 1]."""
        dsc = float(np.interp(confidence, self.confidences, self.values))
        return Estimate(dsc, max(dsc - self.margin, 0.0), min(dsc + self.margin, 1.0))

    def to_dict(self) -> dict[str, Any]:
        """The calibration as JSON-serialisable values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Calibration:
        """The inverse of `to_dict`."""
        bends = {name: tuple(data[name]) for name in ("confidences", "values")}
        return cls(**{**data, **bends})


def calibrate(confidences: Sequence[float], real: Sequence[float]) -> Calibration | None:
    """Fit a calibration on images whose truth is known.

    Args:
        confidences: (n,) confidences in non-blank masks, in [0, 1].
        real: (n,) their R-DSC in [0, 1], in the same order.

    Returns:
        The calibration; None if n < `MIN_IMAGES`.

    Raises:
        ValueError: the lengths differ.
    """
    if len(confidences) != len(real):
        raise ValueError(f"{len(confidences)} confidences cannot be paired with {len(real)} Dice values.")
    n = len(confidences)
    if n < MIN_IMAGES:
        return None
    x, y = np.asarray(confidences, np.float64), np.asarray(real, np.float64)
    knots, values = isotonic(x, y)
    residuals = np.empty(n)
    for index in range(n):
        others = np.arange(n) != index
        residuals[index] = abs(np.interp(x[index], *isotonic(x[others], y[others])) - y[index])
    rank = min(math.ceil(LEVEL * (n + 1)), n)
    margin = float(np.sort(residuals)[rank - 1])
    return Calibration(tuple(knots.tolist()), tuple(values.tolist()), margin, min(LEVEL, n / (n + 1)), n)


def isotonic(
    x: NDArray[np.float64], y: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Isotonic regression: non-decreasing least-squares fit of y (n,) on x (n,), by pool adjacent violators.

    Returns:
        The m distinct values of x, ascending, and the fitted values (m,), non-decreasing.
    """
    knots, knot_of, counts = np.unique(x, return_inverse=True, return_counts=True)
    means = np.bincount(knot_of, weights=y) / counts
    blocks: list[list[float]] = []
    for mean, weight in zip(means, counts, strict=True):
        blocks.append([float(mean), float(weight), 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            value, weight, size = blocks.pop()
            before = blocks[-1]
            before[0] = (before[0] * before[1] + value * weight) / (before[1] + weight)
            before[1] += weight
            before[2] += size
    return knots, np.repeat([block[0] for block in blocks], [int(block[2]) for block in blocks])
