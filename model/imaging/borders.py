"""Borders without content: flat rows and columns at an image's edges, which preprocessing cuts off.

A change to a step or constant of this module needs a new `preprocessing.VERSION`.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from model.imaging.frame import resized

Box = tuple[int, int, int, int]
"""(top, left, height, width) in pixels."""

REDUCED_SIDE = 256
"""Longer side, in pixels, of the reduced copy on which borders are detected."""
EMPTY_SHARE = 0.1
"""A row or column is flat if its values span less than this share of the median row's or column's span."""
MARGIN = 0.02
"""Margin kept around the content, as a share of the image's longer side: soft tissue fades before it ends."""
MIN_CONTENT_SHARE = 0.25
"""Boxes of a smaller share of the image are discarded: they show small objects on a plain background."""


def content_box(image: NDArray[np.uint8 | np.uint16]) -> Box:
    """Find the box of an image (H, W) without its borders that have no content.

    Rows and columns are removed from each side while they are flat, be they dark or bright, film edge or
    background; a bone that crosses a row or column makes its grey values vary. The box is the whole image if
    no row or column has content, if the box would be smaller than `MIN_CONTENT_SHARE`, or if a side of the
    image is shorter than 16 pixels.
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
    return box if box[2] * box[3] >= MIN_CONTENT_SHARE * image.size else whole


def _reduced(image: NDArray[np.uint8 | np.uint16]) -> NDArray[np.float32]:
    # Large images are subsampled before they are averaged: 3×3 samples per pixel suffice against noise.
    every = max(1, max(image.shape) // (3 * REDUCED_SIDE))
    sampled = np.ascontiguousarray(image[::every, ::every])
    factor = min(1.0, REDUCED_SIDE / max(sampled.shape))
    size = (max(1, round(sampled.shape[0] * factor)), max(1, round(sampled.shape[1] * factor)))
    small = resized(sampled, size).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(small, (3, 3), 0), np.float32)


def _content_edges(pixels: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """Top, bottom, left and right of the content, each as a share of its side in [0, 1]."""
    rows = pixels.max(axis=1) - pixels.min(axis=1)
    columns = pixels.max(axis=0) - pixels.min(axis=0)
    flat = EMPTY_SHARE * min(float(np.median(rows)), float(np.median(columns)))
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
