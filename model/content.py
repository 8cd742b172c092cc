"""Where the content of an image lies: borders that carry nothing are cut off, and nothing else."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from model.frame import resized

Box = tuple[int, int, int, int]

LOOKED_AT = 256
"""Longer side, in pixels, of the small copy on which borders are looked for."""

FLAT = 0.1
"""A border line is empty while its grey values span less than this share of an ordinary line's span."""

MARGIN = 0.02
"""Kept around the content, as a share of the longer side: soft tissue fades before it ends."""

SMALLEST = 0.25
"""A box of a smaller share of the image is not trusted: few objects on a plain ground are no borders."""


def content_box(image: NDArray[np.uint8 | np.uint16]) -> Box:
    """Finds the (top, left, height, width) of a (H, W) image without its empty borders, in pixels.

    From each side, lines are taken off while they are flat: dark or bright, film edge or background,
    for a bone that crosses a line would show in it. Where nothing stands out, where the rest would be
    small, or where the image is a few pixels wide, the box is the whole image.
    """
    height, width = image.shape
    whole = (0, 0, height, width)
    if min(image.shape) < 16:
        return whole
    top, bottom, left, right = _content_edges(_reduced(image))
    margin = MARGIN * max(image.shape)
    first_row, last_row = _span(image.shape[0], top, bottom, margin)
    first_column, last_column = _span(image.shape[1], left, right, margin)
    box = (first_row, first_column, last_row - first_row, last_column - first_column)
    return box if box[2] * box[3] >= SMALLEST * image.size else whole


def _reduced(image: NDArray[np.uint8 | np.uint16]) -> NDArray[np.float32]:
    # At least 3×3 pixels are averaged into one where there are more: enough against noise, and quick.
    every = max(1, max(image.shape) // (3 * LOOKED_AT))
    sampled = np.ascontiguousarray(image[::every, ::every])
    factor = min(1.0, LOOKED_AT / max(sampled.shape))
    size = (max(1, round(sampled.shape[0] * factor)), max(1, round(sampled.shape[1] * factor)))
    small = resized(sampled, size).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(small, (3, 3), 0), np.float32)


def _content_edges(pixels: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """Finds top, bottom, left and right of the content, each as a share of the side in [0, 1]."""
    rows = pixels.max(axis=1) - pixels.min(axis=1)
    columns = pixels.max(axis=0) - pixels.min(axis=0)
    flat = FLAT * min(float(np.median(rows)), float(np.median(columns)))
    busy_rows, busy_columns = np.flatnonzero(rows > flat), np.flatnonzero(columns > flat)
    if busy_rows.size == 0 or busy_columns.size == 0:
        return 0.0, 1.0, 0.0, 1.0
    return (
        busy_rows[0] / rows.size,
        (busy_rows[-1] + 1) / rows.size,
        busy_columns[0] / columns.size,
        (busy_columns[-1] + 1) / columns.size,
    )


def _span(length: int, first: float, last: float, margin: float) -> tuple[int, int]:
    return max(0, int(first * length - margin)), min(length, int(np.ceil(last * length + margin)))
