"""Pixels that are not square: the image that annotators see has the true shape, and masks find back exactly.

A browser shows every pixel as a square. So the axis on which pixels are longer is enlarged until they are
square, and never reduced. A mask of the enlarged image is read at the centre of each source pixel. Enlarging
a source mask by `to_shown` and reading it back by `to_source` gives the same mask: the nearest of N ≥ n
places to a centre lies within half a source pixel of it.
"""

from __future__ import annotations

from typing import TypeAlias, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

Size: TypeAlias = tuple[int, int]
"""Height and width in pixels."""

Kind = TypeVar("Kind", bound=np.generic)

NEARLY_SQUARE = 0.01
"""Pixels that are longer by less than this are taken for square: spacings are often rounded."""


def shown_size(source: Size, ratio: float) -> Size:
    """The size at which pixels are square; `ratio` is the height of a source pixel over its width."""
    height, width = source
    if abs(ratio - 1) < NEARLY_SQUARE:
        return source
    if ratio > 1:
        return round(height * ratio), width
    return height, round(width / ratio)


def enlarged(pixels: NDArray[np.uint16], size: Size) -> NDArray[np.uint16]:
    """The image (h, w), interpolated linearly to a size that is not smaller on any axis."""
    if pixels.shape == size:
        return pixels
    return np.asarray(cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_LINEAR), np.uint16)


def to_shown(mask: NDArray[Kind], size: Size) -> NDArray[Kind]:
    """A mask or label map of the source at the size that annotators see."""
    rows, columns = (_nearest(new, old) for new, old in zip(size, mask.shape, strict=True))
    return mask[rows[:, None], columns]


def to_source(mask: NDArray[Kind], source: Size) -> NDArray[Kind]:
    """A mask or label map of what annotators saw, in the pixels of the source."""
    rows, columns = (_nearest(new, old) for new, old in zip(source, mask.shape, strict=True))
    return mask[rows[:, None], columns]


def _nearest(new: int, old: int) -> NDArray[np.int64]:
    """For each of `new` places along an axis, the one of `old` places at its centre."""
    return (2 * np.arange(new, dtype=np.int64) + 1) * old // (2 * new)
