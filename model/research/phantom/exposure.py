"""Exposure: grey values from thicknesses, with the film's frame, borders, noise and artefacts."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.research.phantom.markers import Marker
from model.research.phantom.raster import Map, blurred, blurred_wide, depth_inside
from model.research.phantom.style import Style


def expose(
    flesh: Map,
    mineral: Map,
    marker: Marker,
    film: NDArray[np.bool_],
    style: Style,
    unit: float,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:
    """Expose a hand.

    Args:
        flesh, mineral: thicknesses (H, W) of soft tissue and bone mineral.
        marker: lead marker on the film.
        film: (H, W) mask of the film.
        style: look of the image.
        unit: length of the third metacarpal in pixels.
        rng: source of random draws.

    Returns:
        Grey levels (H, W), 0 to 255.
    """
    absorbed: Map = flesh + np.float32(style.mineral) * mineral
    absorbed = absorbed / np.float32(np.percentile(absorbed[flesh > 0.05][::7], 99.7))
    if style.local > 0.0:
        absorbed = _local_contrast(absorbed, style.local, unit)
    span = np.float32(style.ceiling - style.background)
    curve = np.power(np.clip(absorbed, 0.0, 1.3), np.float32(style.gamma))
    grey: Map = np.float32(style.background) + span * curve
    grey = grey + _light(flesh, style, unit, rng)
    blur = 0.0022 * unit * rng.uniform(0.8, 2.2)
    if blur > 0.3:
        grey = blurred(grey, blur)
    if style.sharpening > 0.0:
        grey = grey + np.float32(style.sharpening) * (grey - blurred(grey, 0.022 * unit))
    grey = _add_marker(grey, marker, style)
    if style.look == "removed":
        grey = np.where(flesh > 0.05, grey, np.float32(0.0))
    grey = _borders(grey, film, style, rng)
    rough = rng.standard_normal(grey.shape, dtype=np.float32)
    rough = blurred(rough, 0.6) * np.float32(1.9)
    strength = style.noise / 200.0 * span * (0.6 + 0.9 * np.sqrt(np.clip(grey, 0.0, 255.0) / 255.0))
    if style.look == "removed":
        strength = strength * (grey > 0)
    return np.asarray(np.clip(grey + rough * strength + 0.5, 0, 255), dtype=np.uint8)


def _local_contrast(absorbed: Map, strength: float, unit: float) -> Map:
    """Enhance detail relative to its surroundings, as digital readers do; flat regions keep their order."""
    around = blurred_wide(absorbed, 0.16 * unit)
    lifted = absorbed + np.float32(strength) * (absorbed - around) * np.float32(0.8)
    return np.where(absorbed > 0, np.maximum(lifted, 0.25 * absorbed), absorbed)


def _light(flesh: Map, style: Style, unit: float, rng: np.random.Generator) -> Map:
    """Uneven illumination in grey levels: the heel effect across the film and scatter around the hand."""
    height, width = flesh.shape
    a, b = rng.normal(0.0, 0.35, 2) * style.glow
    ramp = np.linspace(-1, 1, width, dtype=np.float32)[None] * np.float32(a)
    ramp = ramp + np.linspace(-1, 1, height, dtype=np.float32)[:, None] * np.float32(b)
    return ramp + np.float32(style.glow) * blurred_wide(flesh, 0.35 * unit)


def _add_marker(grey: Map, marker: Marker, style: Style) -> Map:
    top = 250.0 if style.ceiling > 140.0 else style.ceiling + 10.0
    plate = 0.09 * (style.ceiling - style.background)
    grey = grey + np.float32(plate) * marker.plate
    return grey + (np.float32(top) - grey) * marker.lead


def _borders(grey: Map, film: NDArray[np.bool_], style: Style, rng: np.random.Generator) -> Map:
    """Draw collimated margins, or the surround and rim of a film that is smaller than the image."""
    height, width = grey.shape
    if style.turned is not None:
        depth = depth_inside(film.astype(np.uint8)) / height
        rim = np.exp(-np.square((depth - 0.006) / 0.003), dtype=np.float32) * rng.uniform(10.0, 50.0)
        return np.where(film, grey + rim, np.float32(style.outside)).astype(np.float32)
    if style.border is None:
        return grey
    x, y = np.arange(width, dtype=np.float32)[None], np.arange(height, dtype=np.float32)[:, None]
    outside = np.full((height, width), -1e6, np.float32)
    for side, other in ((x, y), (width - 1 - x, y), (y, x), (height - 1 - y, x)):
        if rng.uniform() < 0.55:
            edge = np.float32(rng.uniform(0.004, 0.03) * width) + np.float32(rng.normal(0.0, 0.012)) * other
            outside = np.maximum(outside, edge - side)
    share = np.clip(outside / (0.0035 * width) + 0.5, 0.0, 1.0)
    return grey + (np.float32(style.border) - grey) * share
