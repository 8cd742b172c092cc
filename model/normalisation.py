"""Grey values that bring out bones, whatever the exposure."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

RIM = 0.06
"""Share of each side left out of the statistics: film edges and collimator borders lie there."""

TOE, SHOULDER = 8, 240
"""Grey levels given to the two percentiles; what is darker or brighter is squeezed, never cut."""

FLAT = 0.5
"""A span below half a grey level of the source is rounding, not a picture."""


def normalise(
    pixels: NDArray[np.float32],
    *,
    percentiles: tuple[float, float],
    clip_limit: float,
    tile: int,
) -> NDArray[np.uint8]:
    """Stretches (h, w) grey values so that bones show, then evens the contrast locally (CLAHE).

    The two `percentiles` of the inner part go to 8 and 240, and the few values beyond them (side
    markers, film edges) share what is left, so that a marker cannot darken the hand and no exposure
    saturates. Contrast-limited adaptive histogram equalisation follows, with tiles of about `tile`
    pixels a side and `clip_limit` in multiples of a flat histogram's height (0: none).
    An image of one grey value becomes black.
    """
    grey = _stretched(pixels, percentiles)
    if clip_limit == 0 or grey.min() == grey.max():
        return grey
    tiles = (max(1, round(pixels.shape[1] / tile)), max(1, round(pixels.shape[0] / tile)))
    return np.asarray(cv2.createCLAHE(clip_limit, tiles).apply(grey), np.uint8)


def _stretched(pixels: NDArray[np.float32], percentiles: tuple[float, float]) -> NDArray[np.uint8]:
    darkest, brightest = float(pixels.min()), float(pixels.max())
    if brightest - darkest < FLAT:
        return np.zeros(pixels.shape, np.uint8)
    dark, bright = np.percentile(_inner(pixels), percentiles)
    if bright - dark < FLAT:
        dark, bright = darkest, brightest
    # Two equal knots would make the curve ambiguous where the extremes are the percentiles.
    step = (brightest - darkest) * 1e-6
    knots = (min(darkest, dark - step), dark, bright, max(brightest, bright + step))
    return np.rint(np.interp(pixels, knots, (0, TOE, SHOULDER, 255))).astype(np.uint8)


def _inner(pixels: NDArray[np.float32]) -> NDArray:
    """The pixels off the rim; of large images every second row and column, which is as good and faster."""
    rows, columns = (int(RIM * side) for side in pixels.shape)
    inner = pixels[rows : pixels.shape[0] - rows, columns : pixels.shape[1] - columns]
    return inner[::2, ::2] if inner.size > 100_000 else inner
