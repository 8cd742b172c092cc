"""How good a mask probably is: real Dice estimated from the network's confidence in it, with an interval.

The paper's Fig. 3 shows that R-DSC rises with the consistency score; it rises more steadily with the mean
of that score and of the certainty along the mask's boundary (`Measurement.confidence`). How it does is
learned on the validation images, whose truth is known: an isotonic regression gives the estimate, and what
each image is estimated at by a regression without it gives the interval (jackknife, with the finite-sample
quantile of conformal prediction, Barber et al. 2021). It holds for images like the validation images, on
average.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

FEWEST = 5
"""Images below which nothing is said: one of them decides a fifth already."""

LEVEL = 0.9


class Estimate(NamedTuple):
    """R-DSC of a mask: about `dsc`, and with the calibration's probability within `low` and `high`."""

    dsc: float
    low: float
    high: float


@dataclass(frozen=True)
class Calibration:
    """How R-DSC follows the confidence under one version.

    Attributes:
        confidences: where the regression bends, ascending, in [0, 1].
        values: R-DSC there, not descending; straight lines between, constant beyond.
        margin: half the width of the interval.
        level: the probability that the interval holds R-DSC: 0.9, or n / (n + 1) of fewer than 9 images.
        images: how many it was learned on.
    """

    confidences: tuple[float, ...]
    values: tuple[float, ...]
    margin: float
    level: float
    images: int

    def estimate(self, confidence: float) -> Estimate:
        """R-DSC of a mask that is not blank, from the confidence in it, in [0, 1]."""
        dsc = float(np.interp(confidence, self.confidences, self.values))
        return Estimate(dsc, max(dsc - self.margin, 0.0), min(dsc + self.margin, 1.0))

    def to_dict(self) -> dict[str, Any]:
        """The calibration as JSON can hold it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Calibration:
        """The inverse of `to_dict`."""
        bends = {name: tuple(data[name]) for name in ("confidences", "values")}
        return cls(**{**data, **bends})


def calibrate(confidences: Sequence[float], real: Sequence[float]) -> Calibration | None:
    """Learn how R-DSC follows the confidence, from images whose truth is known; None of fewer than `FEWEST`.

    Args:
        confidences: in masks that are not blank, in [0, 1].
        real: their R-DSC, in the same order.

    Raises:
        ValueError: the two differ in length.
    """
    if len(confidences) != len(real):
        raise ValueError(f"{len(confidences)} confidences cannot be paired with {len(real)} Dice values.")
    n = len(confidences)
    if n < FEWEST:
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
    """The least-squares fit of y (n,) that does not descend with x (n,), by pooling adjacent violators.

    Returns:
        (m,) places, ascending, and (m,) values, not descending; equal x are one place.
    """
    places, place_of, counts = np.unique(x, return_inverse=True, return_counts=True)
    means = np.bincount(place_of, weights=y) / counts
    blocks: list[list[float]] = []
    for mean, weight in zip(means, counts, strict=True):
        blocks.append([float(mean), float(weight), 1])
        while len(blocks) > 1 and blocks[-2][0] >= blocks[-1][0]:
            value, weight, size = blocks.pop()
            before = blocks[-1]
            before[0] = (before[0] * before[1] + value * weight) / (before[1] + weight)
            before[1] += weight
            before[2] += size
    return places, np.repeat([block[0] for block in blocks], [int(block[2]) for block in blocks])
