"""Grey values that bring out bones, whatever the exposure."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray


def normalise(
    pixels: NDArray[np.uint8 | np.uint16],
    *,
    percentiles: tuple[float, float],
    clip_limit: float,
    tiles: int,
) -> NDArray[np.uint8]:
    """Stretches (h, w) grey values between two percentiles to 0..255, then applies CLAHE.

    A constant image becomes black.
    """
    dark, bright = np.percentile(pixels, percentiles)
    if bright <= dark:
        dark, bright = float(pixels.min()), float(pixels.max())
    if bright <= dark:
        return np.zeros(pixels.shape, np.uint8)
    stretched = (pixels.astype(np.float32) - np.float32(dark)) * np.float32(255 / (bright - dark))
    grey = np.clip(np.rint(stretched), 0, 255).astype(np.uint8)
    if clip_limit == 0:
        return grey
    equalised: NDArray[np.uint8] = cv2.createCLAHE(clip_limit, (tiles, tiles)).apply(grey)
    return equalised
