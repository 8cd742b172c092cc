"""Exposure and film: from thicknesses to grey values, with the film's frame, borders, noise and faults."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from model.phantom.markers import Marker
from model.phantom.style import Style
from model.phantom.tissue import Map


def expose(
    flesh: Map, mineral: Map, marker: Marker, film: NDArray[np.bool_], style: Style, unit: float,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:  # fmt: skip
    """Grey picture (H, W) of a hand: `flesh` and `mineral` are thicknesses, `unit` the pixels a third metacarpal."""
    absorbed = flesh + style.mineral * mineral
    absorbed = absorbed / np.percentile(absorbed[flesh > 0.05][::7], 99.7).astype(np.float32)
    if style.local > 0.0:
        absorbed = _local_contrast(absorbed, style.local, unit)
    curve = np.clip(absorbed, 0.0, 1.3) ** np.float32(style.gamma)
    span = style.ceiling - style.background
    grey = style.background + span * curve
    grey = grey + _light(flesh, style, unit, rng)
    blur = 0.0022 * unit * rng.uniform(0.8, 2.2)
    if blur > 0.3:
        grey = cv2.GaussianBlur(grey, (0, 0), blur)
    if style.sharpening > 0.0:
        soft = cv2.GaussianBlur(grey, (0, 0), 0.022 * unit)
        grey = grey + np.float32(style.sharpening) * (grey - soft)
    grey = _add_marker(grey, marker, style)
    if style.look == "removed":
        grey = np.where(flesh > 0.05, grey, 0.0)
    grey = _borders(grey, film, style, rng)
    rough = rng.standard_normal(grey.shape, dtype=np.float32)
    rough = cv2.GaussianBlur(rough, (0, 0), 0.6) * np.float32(1.9)
    strength = style.noise * (0.6 + 0.9 * np.sqrt(np.clip(grey, 0.0, 255.0) / 255.0)) * span / 200.0
    if style.look == "removed":
        strength = strength * (grey > 0)
    return np.clip(grey + rough * strength + 0.5, 0, 255).astype(np.uint8)


def _local_contrast(absorbed: Map, strength: float, unit: float) -> Map:
    """Lift detail over its surroundings, as digital readers do; flat regions keep their order."""
    factor = max(1, int(unit / 40))
    small = cv2.resize(absorbed, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    around = cv2.GaussianBlur(small, (0, 0), 0.16 * unit / factor)
    around = cv2.resize(around, (absorbed.shape[1], absorbed.shape[0]), interpolation=cv2.INTER_LINEAR)
    lifted = absorbed + np.float32(strength) * (absorbed - around) * np.float32(0.8)
    return np.where(absorbed > 0, np.maximum(lifted, 0.25 * absorbed), absorbed)


def _light(flesh: Map, style: Style, unit: float, rng: np.random.Generator) -> Map:
    """Uneven light: the heel effect across the film and scatter around the hand, in grey levels."""
    height, width = flesh.shape
    a, b = rng.normal(0.0, 0.35, 2) * style.glow
    ramp = np.linspace(-1, 1, width, dtype=np.float32)[None] * np.float32(a)
    ramp = ramp + np.linspace(-1, 1, height, dtype=np.float32)[:, None] * np.float32(b)
    factor = max(1, int(unit / 20))
    small = cv2.resize(flesh, None, fx=1 / factor, fy=1 / factor, interpolation=cv2.INTER_AREA)
    halo = cv2.GaussianBlur(small, (0, 0), 0.35 * unit / factor)
    halo = cv2.resize(halo, (width, height), interpolation=cv2.INTER_LINEAR)
    return ramp + np.float32(style.glow) * halo


def _add_marker(grey: Map, marker: Marker, style: Style) -> Map:
    top = 250.0 if style.ceiling > 140.0 else style.ceiling + 10.0
    plate = 0.09 * (style.ceiling - style.background)
    grey = grey + np.float32(plate) * marker.plate
    return grey + (np.float32(top) - grey) * marker.lead


def _borders(grey: Map, film: NDArray[np.bool_], style: Style, rng: np.random.Generator) -> Map:
    """Collimated margins, and the surround and rim of a film that lies inside the picture."""
    height, width = grey.shape
    if style.turned is not None:
        solid = film.astype(np.uint8)
        depth = cv2.distanceTransform(solid, cv2.DIST_L2, 3) / height
        rim = np.exp(-np.square((depth - 0.006) / 0.003), dtype=np.float32) * rng.uniform(10.0, 50.0)
        return np.where(film, grey + rim, np.float32(style.outside)).astype(np.float32)
    if style.border is None:
        return grey
    x, y = np.arange(width, dtype=np.float32)[None], np.arange(height, dtype=np.float32)[:, None]
    outside = np.full((height, width), -1e6, np.float32)
    for side in (x, width - 1 - x, y, height - 1 - y):
        if rng.uniform() < 0.55:
            other = y if side.shape[0] == 1 else x
            depth = rng.uniform(0.004, 0.03) * width
            outside = np.maximum(outside, depth - side + rng.normal(0.0, 0.012) * other)
    share = np.clip(outside / (0.0035 * width) + 0.5, 0.0, 1.0)
    return grey + (np.float32(style.border) - grey) * share
