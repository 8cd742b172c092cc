"""Polygon regions: corners in percent of the image.

Label Studio's polygons have no holes; a hole is joined to the outline by a cut, see `outlines.simplified`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.regions import outlines
from ml_backend.label_studio.regions.filling import fill
from ml_backend.label_studio.regions.shape import EmptyRegionError, RegionError, Shape, Size, checked

MAX_POINTS = 100_000


def read(value: Mapping[str, Any], size: Size) -> Shape:
    """The pixels inside the polygon, by the non-zero winding rule if it crosses itself.

    Raises:
        EmptyRegionError: it has fewer than three corners.
        RegionError: it is not closed, has too many corners, or corners with invalid coordinates.
    """
    points = value.get("points")
    if value.get("closed", True) is not True:
        raise RegionError("The polygon is not closed.")
    if not isinstance(points, list) or len(points) > MAX_POINTS:
        raise RegionError(f"A polygon must have 3 to {MAX_POINTS} corners.")
    if len(points) < 3:
        raise EmptyRegionError(f"A polygon must have 3 to {MAX_POINTS} corners.")
    return fill(in_pixels([_corner(point) for point in points], size), size)


def write(mask: NDArray[np.bool_], tolerance: float, most: int | None = None) -> list[dict[str, Any]]:
    """One polygon per component of a mask (H, W), simplified (`outlines.outlined`)."""
    return [
        {"points": outlines.percent(points, mask.shape), "closed": True}
        for points in outlines.outlined(mask, tolerance, most)
    ]


def in_pixels(points: list[tuple[float, float]], size: Size) -> NDArray[np.float64]:
    """Points (x, y) in percent of the image, converted to pixels (N, 2)."""
    height, width = size
    return np.array(points, np.float64) * (width / 100, height / 100)


def _corner(point: Any) -> tuple[float, float]:
    if not isinstance(point, list | tuple) or len(point) != 2:
        raise RegionError("A corner of the polygon is not a pair of numbers.")
    return checked(point[0], "corner"), checked(point[1], "corner")
