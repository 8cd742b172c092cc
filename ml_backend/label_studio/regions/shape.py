"""What all forms share: a shape in pixels, sizes, and numbers that anyone may have sent."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]
"""(height, width) of an image in pixels."""

MOST_PERCENT = 1000.0
"""Largest coordinate that is read, in percent of the image: what lies outside the image is cut off."""


class RegionError(ValueError):
    """A region that holds no readable mask; the message is one sentence."""


class Shape(NamedTuple):
    """The pixels of a region: a part of the image, and what is drawn in it."""

    top: int
    left: int
    mask: NDArray[np.bool_]
    """(h, w), its first pixel at row `top` and column `left` of the image."""


def number(value: Mapping[str, Any], key: str, default: float | None = None) -> float:
    """A finite number of a region's value; RegionError if it is missing, no number, or beyond all bounds."""
    return checked(value.get(key, default), key)


def checked(found: Any, name: str) -> float:
    """The number itself, if it is one; `name` is how the sentence calls it."""
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise RegionError(f"The region's {name} is no number but {str(found)[:40]}.")
    if not abs(found) <= MOST_PERCENT:
        raise RegionError(f"The region's {name} is {str(found)[:40]}, which is far off the image.")
    return float(found)
