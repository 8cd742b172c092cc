"""An image at its own resolution with the grey values of its canvas, for work on a part of it."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from model.imaging.frame import resized
from model.imaging.preprocessing import Frame, PreprocessingSettings, stretch, stretched, tiles

_VALUES = {np.dtype(np.uint8): 2**8, np.dtype(np.uint16): 2**16}


def fine_grey(
    image: NDArray[np.uint8 | np.uint16], frame: Frame, settings: PreprocessingSettings
) -> NDArray[np.uint8]:
    """Stretch and CLAHE as on the canvas, but at the image's own resolution; black outside the content.

    The curve of grey values is that of the canvas, and CLAHE has as many tiles, so an enlarged part of the
    image looks like an enlarged part of its canvas, only sharper.

    Args:
        image: grey (H, W), 8 or 16 bits.
        frame: the position of its canvas, as `preprocess` returns it.
        settings: of the canvas.

    Returns:
        Grey levels 0 to 255, (H, W).
    """
    top, left, height, width = frame.crop
    content = image[top : top + height, left : left + width]
    fine = np.zeros(image.shape, np.uint8)
    small = resized(content.astype(np.float32), frame.scaled)
    knots = stretch(small, (settings.dark_percentile, settings.bright_percentile))
    if knots is None:
        return fine
    # A table of all grey values is far cheaper than interpolating each of millions of pixels.
    table = stretched(np.arange(_VALUES[image.dtype]), knots)
    grey = table[content]
    if settings.clip_limit and grey.min() < grey.max():
        clahe = cv2.createCLAHE(settings.clip_limit, tiles(frame.scaled, settings.tile))
        grey = np.asarray(clahe.apply(grey), np.uint8)
    fine[top : top + height, left : left + width] = grey
    return fine
