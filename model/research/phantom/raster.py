"""Typed wrappers of the few OpenCV operations with which phantoms are drawn."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float32]


def blurred(values: Map, sigma: float) -> Map:
    """Gaussian blur of a map (H, W) with `sigma` in pixels."""
    return np.asarray(cv2.GaussianBlur(values, (0, 0), sigma), dtype=np.float32)


def resized(values: Map, size: tuple[int, int]) -> Map:
    """Resize a map (H, W) to `size` (width, height): area averages if the width shrinks, else bilinear."""
    shrinks = size[0] < values.shape[1]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(values, size, interpolation=method), dtype=np.float32)


def blurred_wide(values: Map, sigma: float) -> Map:
    """Approximate Gaussian blur of a map (H, W) with a large `sigma` in pixels, computed on a smaller map."""
    factor = max(1, int(sigma / 6))
    height, width = values.shape
    small = resized(values, (max(1, width // factor), max(1, height // factor)))
    return resized(blurred(small, sigma / factor), (width, height))


def filled(polygon: NDArray[np.float64], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Draw a polygon (N, 2) of (x, y) pixels in a raster of `shape` (H, W), as 0/255."""
    raster = np.zeros(shape, np.uint8)
    cv2.fillPoly(raster, [np.round(polygon * 64).astype(np.int32)], 255, shift=6)
    return raster


def depth_inside(raster: NDArray[np.uint8]) -> Map:
    """Distance of each non-zero pixel of a raster (H, W) to the nearest zero pixel, in pixels; (H, W)."""
    return np.asarray(cv2.distanceTransform(raster, cv2.DIST_L2, 5), dtype=np.float32)
