"""How uncertain probabilities are: entropy of every pixel, and where a mask's boundary runs."""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

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
