"""Ellipse regions: centre and radii in percent, rotated clockwise about the centre."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.regions.outlines import Component, worth_boxing
from ml_backend.label_studio.regions.shape import RegionError, Shape, Size, number

MAX_RADIUS = 50.0
"""Maximum radius in percent that Label Studio accepts; it drops predictions with larger ones."""


def read(value: Mapping[str, Any], size: Size) -> Shape:
    """The pixels inside the ellipse, rotated after scaling, so that it stays an ellipse on oblong images.

    Raises:
        RegionError: a number is missing or invalid, or a radius is negative.
    """
    height, width = size
    x, y = number(value, "x") * width / 100, number(value, "y") * height / 100
    across, along = number(value, "radiusX") * width / 100, number(value, "radiusY") * height / 100
    if across < 0 or along < 0:
        raise RegionError("The ellipse has a negative radius.")
    turn = np.radians(number(value, "rotation", 0.0))
    reach = max(across, along)
    left, right = np.clip([np.floor(x - reach), np.ceil(x + reach)], 0, width).astype(int)
    top, bottom = np.clip([np.floor(y - reach), np.ceil(y + reach)], 0, height).astype(int)
    if 0 in (across, along) or left >= right or top >= bottom:
        return Shape(0, 0, np.zeros((0, 0), np.bool_))
    dx = np.arange(left, right, dtype=np.float32)[None] + np.float32(0.5 - x)
    dy = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5 - y)
    cosine, sine = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    inside = ((dx * cosine + dy * sine) / np.float32(across)) ** 2
    inside += ((dy * cosine - dx * sine) / np.float32(along)) ** 2
    return Shape(int(top), int(left), inside <= 1)


def write(mask: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """One ellipse per component of a mask (H, W): an approximation that training would use as is."""
    return [_fitted(component, mask.shape) for component in worth_boxing(mask)]


def _fitted(component: Component, size: tuple[int, ...]) -> dict[str, Any]:
    """The ellipse with the centre and second moments of the component, holes filled."""
    height, width = size
    moments = cv2.moments(component.outer[:, None])
    area = moments["m00"]
    shared = moments["mu11"] / area
    spread = np.array([[moments["mu20"] / area, shared], [shared, moments["mu02"] / area]])
    strengths, axes = np.linalg.eigh(spread)
    # The first radius is for the axis nearer to the horizontal, or it might exceed MAX_RADIUS.
    first = int(abs(axes[0, 1]) >= abs(axes[0, 0]))
    radii = 2 * np.sqrt(np.maximum(strengths, 0))
    direction = axes[:, first] * (1 if axes[0, first] >= 0 else -1)
    return {
        "x": float(moments["m10"] / area * 100 / width),
        "y": float(moments["m01"] / area * 100 / height),
        "radiusX": float(min(radii[first] * 100 / width, MAX_RADIUS)),
        "radiusY": float(min(radii[1 - first] * 100 / height, MAX_RADIUS)),
        "rotation": float(np.degrees(np.arctan2(direction[1], direction[0])) % 360),
    }
