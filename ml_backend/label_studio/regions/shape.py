"""Shared by all forms: shapes in pixels, sizes, and the validation of untrusted numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]
"""(height, width) of an image in pixels."""

MAX_PERCENT = 1000.0
"""Maximum absolute coordinate, in percent of the image; parts outside the image are clipped."""


class RegionError(ValueError):
    """A region without a readable mask; the message is one sentence."""


class Shape(NamedTuple):
    """The pixels of a region: a mask over a part of the image."""

    top: int
    left: int
    mask: NDArray[np.bool_]
    """(h, w), its first pixel at row `top` and column `left` of the image."""


def number(value: Mapping[str, Any], key: str, default: float | None = None) -> float:
    """A number in a region's value; RegionError if it is missing, not a number, or beyond ±MAX_PERCENT."""
    return checked(value.get(key, default), key)


def checked(found: Any, name: str) -> float:
    """`found` as a float; RegionError, naming it `name`, if it is not a number or beyond ±MAX_PERCENT."""
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise RegionError(f"The region's {name} must be a number, not {str(found)[:40]}.")
    if not abs(found) <= MAX_PERCENT:
        raise RegionError(f"The region's {name} is {str(found)[:40]}, which is far outside the image.")
    return float(found)
