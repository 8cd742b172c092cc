"""Brush strokes of which the editor has made no mask yet, as in drafts (docs/label-studio-behaviour.md)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.regions import brush
from ml_backend.label_studio.regions.shape import RegionError, Size, number, shown

MAX_POINTS = 100_000
"""Most coordinates of one stroke."""
_FRACTION = 4
"""Bits after the point of OpenCV's coordinates."""


def with_strokes(value: Mapping[str, Any], size: Size) -> NDArray[np.bool_]:
    """The pixels (H, W) of a brush region of a draft: its mask, if it has one, and its strokes over it.

    Raises:
        RegionError: mask or strokes are malformed.
        RleError: the mask is not of this size, or broken.
    """
    drawn = np.zeros(size, np.uint8)
    if value.get("rle"):
        shape = brush.read({**value, "touches": None}, size)
        height, width = shape.mask.shape
        drawn[shape.top : shape.top + height, shape.left : shape.left + width] = shape.mask
    touches = value.get("touches") or []
    if not isinstance(touches, list):
        raise RegionError(f"The brush region's strokes must be a list, not {shown(touches)}.")
    for stroke in touches:
        _draw(drawn, stroke, size)
    return drawn.view(np.bool_)


def _draw(drawn: NDArray[np.uint8], stroke: Any, size: Size) -> None:
    if not isinstance(stroke, dict):
        raise RegionError(f"A stroke must be an object, not {shown(stroke)}.")
    height, width = size
    flat = stroke.get("relativePoints")
    if not isinstance(flat, list) or len(flat) % 2 or len(flat) > MAX_POINTS:
        raise RegionError("A stroke must have pairs of coordinates.")
    if not flat:
        return
    percent = np.array([number({"stroke": one}, "stroke") for one in flat]).reshape(-1, 2)
    points = percent * (width / 100, height / 100)
    thickness = max(1, round(number(stroke, "relativeStrokeWidth", 0.0) * width / 100))
    ink = 0 if stroke.get("type") == "eraser" else 1
    fixed = np.round((points - 0.5) * 2**_FRACTION).astype(np.int32)
    if len(fixed) == 1:
        cv2.circle(drawn, fixed[0].tolist(), thickness * 2 ** (_FRACTION - 1), ink, -1, cv2.LINE_8, _FRACTION)
    else:
        cv2.polylines(drawn, [fixed], False, ink, thickness, cv2.LINE_8, _FRACTION)
