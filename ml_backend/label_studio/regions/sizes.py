"""The size of the image that a region was drawn on, as the region states it; untrusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ml_backend.label_studio.regions import rle
from ml_backend.label_studio.regions.shape import MAX_SIDE, RegionError, Size, shown

UNKNOWN_SIDE = 1.0
"""Sides up to this are not known: the editor states 1 until it has loaded the image, and other tools 0."""
UNSTATED = "The region does not state the size of the image it was drawn on."
ASPECT_TOLERANCE = 0.01
"""Maximum relative difference of two aspects that count as the same; scaled images have rounded sides."""


def drawn_size(region: Mapping[str, Any], expected: Size | None, *, is_pixelwise: bool) -> Size:
    """The (H, W) in which to read a region.

    A region of pixels must state the size of its image exactly, or no size. A region in percent fits any
    image of the same shape, so it must state a size of the same aspect, or an unknown one. Whole numbers may
    be written as floats or as text.

    Args:
        region: with `original_height` and `original_width`, any content is possible.
        expected: (H, W) of the image; None takes the stated size.
        is_pixelwise: whether the region stores pixels.

    Raises:
        RegionError: a side is not a number or not the side of an image, or the size does not fit.
    """
    height, width = (_side(region, key) for key in ("original_height", "original_width"))
    if expected is None:
        if not is_pixelwise and min(height or 0, width or 0) <= UNKNOWN_SIDE:
            raise RegionError(UNSTATED)
        return _whole(height, width)
    if height is None and width is None:
        return expected
    fits = (height, width) == expected if is_pixelwise else _has_aspect(height, width, expected)
    if not fits:
        if height is None or width is None:
            raise RegionError(UNSTATED)
        raise RegionError(
            f"The mask was drawn on {width:.10g} × {height:.10g} pixels, but the image has "
            f"{expected[1]} × {expected[0]}."
        )
    return expected


def _side(region: Mapping[str, Any], key: str) -> float | None:
    found = region.get(key)
    if found is None:
        return None
    side = _number(found)
    if side is None or not 0 <= side < MAX_SIDE:
        raise RegionError(f"The region's {key} must be a number of pixels, not {shown(found)}.")
    return side


def _number(found: Any) -> float | None:
    if isinstance(found, bool) or not isinstance(found, int | float | str):
        return None
    try:
        return float(found)
    except (ValueError, OverflowError):
        return None


def _whole(height: float | None, width: float | None) -> Size:
    if height is None or width is None or not (height.is_integer() and width.is_integer()):
        raise RegionError(UNSTATED)
    if min(height, width) < 1 or height * width > rle.MAX_PIXELS:
        raise RegionError(f"Masks of {width:.10g} × {height:.10g} pixels are not supported.")
    return int(height), int(width)


def _has_aspect(height: float | None, width: float | None, expected: Size) -> bool:
    """Whether a stated size has the image's aspect, or says nothing about it."""
    if height is None or width is None or min(height, width) <= UNKNOWN_SIDE:
        return True
    rounding = 1 / min(height, width, *expected)
    ratio = (height * expected[1]) / (width * expected[0])
    return abs(ratio - 1) <= max(ASPECT_TOLERANCE, rounding)
