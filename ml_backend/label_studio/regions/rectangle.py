"""Rectangle regions: the top left corner and the sides in percent, rotated clockwise about that corner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.regions.filling import fill
from ml_backend.label_studio.regions.outlines import worth_boxing
from ml_backend.label_studio.regions.shape import RegionError, Shape, Size, number


def read(value: Mapping[str, Any], size: Size) -> Shape:
    """The pixels inside the rectangle, rotated after scaling, so that it stays a rectangle on oblong images.

    Raises:
        RegionError: a number is missing or invalid, or a side is negative.
    """
    height, width = size
    x, y = number(value, "x") * width / 100, number(value, "y") * height / 100
    right, down = number(value, "width") * width / 100, number(value, "height") * height / 100
    if right < 0 or down < 0:
        raise RegionError("The rectangle has a negative side.")
    turn = np.radians(number(value, "rotation", 0.0))
    across = np.array([np.cos(turn), np.sin(turn)]) * right
    along = np.array([-np.sin(turn), np.cos(turn)]) * down
    corner = np.array([x, y])
    return fill(np.array([corner, corner + across, corner + across + along, corner + along]), size)


def write(mask: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """The box around each component of a mask (H, W): an approximation that training would use as is."""
    height, width = mask.shape
    boxes = []
    for component in worth_boxing(mask):
        (left, top), (right, bottom) = component.outer.min(axis=0), component.outer.max(axis=0)
        boxes.append(
            {
                "x": float(left * 100 / width),
                "y": float(top * 100 / height),
                "width": float((right - left) * 100 / width),
                "height": float((bottom - top) * 100 / height),
                "rotation": 0.0,
            }
        )
    return boxes
