"""Shared by all forms: shapes in pixels, sizes, and the validation of untrusted numbers."""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]
"""(height, width) of an image in pixels."""

MAX_PERCENT = 1000.0
"""Maximum absolute coordinate, in percent of the image; parts outside the image are clipped."""


MAX_SHOWN = 40
"""Maximum characters of an untrusted value in a message."""
MAX_SIDE = 2**31
"""Sizes from here on are no sizes of images."""


class RegionError(ValueError):
    """A region without a readable mask; the message is one sentence."""


class EmptyRegionError(RegionError):
    """A region that covers no pixel, so the masks of its annotation are complete without it."""


class Shape(NamedTuple):
    """The pixels of a region: a mask over a part of the image."""

    top: int
    left: int
    mask: NDArray[np.bool_]
    """(h, w), its first pixel at row `top` and column `left` of the image."""


def opaque(alphas: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Where alphas of 0 to 255 reach half of their maximum; nowhere if that is 0.

    Strokes have soft edges, so not every alpha above 0 was drawn. The maximum of a region depends on the tool
    that wrote it: 255 in the editor, 100 in the SDK's `contour2rle`.
    """
    most = int(alphas.max(initial=0))
    return alphas >= max((most + 1) // 2, 1)


def shown(found: Any) -> str:
    """An untrusted value for a sentence: at most 40 characters, all printable."""
    try:
        text = found[:MAX_SHOWN] if isinstance(found, str) else reprlib.repr(found)[:MAX_SHOWN]
    except ValueError:  # Python refuses to print integers of thousands of digits
        text = "a number of thousands of digits"
    return "".join(character if character.isprintable() else "?" for character in text)


def number(value: Mapping[str, Any], key: str, default: float | None = None) -> float:
    """A number in a region's value; RegionError if it is missing, not a number, or beyond ±MAX_PERCENT.

    `default` stands for one that is missing or null.
    """
    found = value.get(key)
    return checked(default if found is None and default is not None else found, key)


def checked(found: Any, name: str) -> float:
    """`found` as a float; RegionError, naming it `name`, if it is not a number or beyond ±MAX_PERCENT."""
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise RegionError(f"The region's {name} must be a number, not {shown(found)}.")
    if not abs(found) <= MAX_PERCENT:
        raise RegionError(f"The region's {name} is {shown(found)}, which is far outside the image.")
    return float(found)
