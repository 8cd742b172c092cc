"""What is known of one unlabelled image under one version, and how uncertain its probabilities are."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from model.consistency import Consistency


@dataclass(frozen=True, eq=False)
class Measurement:
    """One image under one version.

    Attributes:
        key: the image's name, distinct within a pool; what is drawn by lot hangs on it and on a seed, so the
            order of a pool never matters.
        consistency: agreement of the three masks.
        entropy: predictive entropy of the final classifier, mean over the image, in [0, 1]: 1 where every
            class is equally probable everywhere.
        boundary_entropy: the same over a band around the final mask's boundary; if there is none, over the
            image.
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
        """How sure the network seems of its mask, in [0, 1]: the mean of the consistency score and of how
        certain the final classifier is along the mask's boundary (1 − boundary entropy).

        It follows R-DSC more closely than the score alone, see docs/science.md; `model.quality` says how.
        """
        return (self.consistency.score + 1 - self.boundary_entropy) / 2


BAND = 0.01
"""Half the width of the band around a boundary, as a share of the image's longer side: 6 pixels of 600."""

SMALLEST = 1e-12
"""Below this a probability adds nothing to an entropy, and its logarithm would not be finite."""


def entropy_map(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Entropy of each pixel's classes, in [0, 1].

    Args:
        probabilities: (C, h, w), summing to 1 over C.

    Returns:
        −Σ p log p / log C, (h, w): 0 where one class is certain, 1 where all are equally probable.
    """
    total = np.zeros(probabilities.shape[1:], np.float32)
    for channel in probabilities:
        plane = np.maximum(channel, np.float32(SMALLEST))
        total -= plane * cv2.log(plane)
    total /= math.log(len(probabilities))
    return np.clip(total, 0, 1, out=total)


def boundary_band(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where a label map (h, w) changes within `BAND` of its longer side, in any direction; (h, w)."""
    side = 2 * max(1, round(BAND * max(labels.shape))) + 1
    kernel = np.ones((side, side), np.uint8)
    return np.asarray(cv2.dilate(labels, kernel) != cv2.erode(labels, kernel))
