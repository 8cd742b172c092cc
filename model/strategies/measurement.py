"""Everything a strategy may know about an unlabelled image, and the uncertainty of class probabilities."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from model.consistency import Consistency

BAND = 0.01
"""Half the width of the band around a boundary, as a share of the image's longer side: 6 pixels of 600."""
MIN_PROBABILITY = 1e-12
"""Smaller probabilities are raised to this: they add nothing to an entropy, but 0 has no logarithm."""


@dataclass(frozen=True, eq=False)
class Measurement:
    """Measurements of one image under one version.

    Attributes:
        key: name of the image, unique within a pool. Random draws depend only on the key and a seed, so the
            order of a pool never matters.
        consistency: agreement of the three masks.
        entropy: predictive entropy of the final classifier, mean over the image, in [0, 1]: 1 if all classes
            are equally probable everywhere.
        boundary_entropy: the same over a band around the boundary of the final mask; over the whole image if
            the mask has no boundary.
        features: (D,) of unit length, pooled from the network's bottleneck
            (`model.engines.interface.Output`).
        probed: mean over the image of what the strategy's probe computed (`Strategy.probe`), if it has one.
    """

    key: str
    consistency: Consistency
    entropy: float
    boundary_entropy: float
    features: NDArray[np.float32] = field(repr=False)
    probed: float | None = None

    @property
    def confidence(self) -> float:
        """The network's confidence in its mask, in [0, 1]: mean of the consistency score and of the certainty
        along the mask's boundary (1 − boundary entropy).

        It correlates with R-DSC more closely than the score alone (docs/science.md); `model.quality` turns it
        into an estimate of R-DSC.
        """
        return (self.consistency.score + 1 - self.boundary_entropy) / 2


def entropy_map(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normalised entropy of the class probabilities of each pixel.

    Args:
        probabilities: (C, h, w), summing to 1 over C.

    Returns:
        −Σ p log p / log C in [0, 1], (h, w): 0 if one class is certain, 1 if all are equally probable.
    """
    total = np.zeros(probabilities.shape[1:], np.float32)
    for channel in probabilities:
        plane = np.maximum(channel, np.float32(MIN_PROBABILITY))
        total -= plane * cv2.log(plane)
    total /= math.log(len(probabilities))
    return np.clip(total, 0, 1, out=total)


def boundary_band(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The pixels (h, w) near a boundary between labels of a label map (h, w).

    Near means that a pixel of another label is at most `BAND` of the longer side, and at least one pixel,
    away in each direction.
    """
    side = 2 * max(1, round(BAND * max(labels.shape))) + 1
    kernel = np.ones((side, side), np.uint8)
    return np.asarray(cv2.dilate(labels, kernel) != cv2.erode(labels, kernel))
