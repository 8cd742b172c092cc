"""Exposure and film: from thicknesses to grey values, with the film's frame, borders, noise and faults."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.phantom.markers import Marker
from model.phantom.tissue import Map


@dataclass(frozen=True)
class Style:
    """How one picture was exposed and read out.

    Grey levels 0..255: `background` of bare film and `ceiling` of the densest bone; `gamma` bends the curve between;
    `local` is the strength of the reader's local contrast; `glow` lifts the film around the hand; `cut_out`
    blackens everything outside the skin; `turned` degrees of the whole film inside the picture, None if the film
    fills it; `outside` its surround's level; `border` level of collimated margins (None: no margins).
    """

    background: float
    ceiling: float
    gamma: float
    mineral: float
    local: float
    glow: float
    noise: float
    cut_out: bool = False
    turned: float | None = None
    outside: float = 0.0
    border: float | None = None
    marked: bool = True


def choose_style(rng: np.random.Generator) -> Style:
    """One of the ways the 50 real hands look, in about their proportions."""
    kind = rng.choice(
        ["clear", "removed", "dark", "bright", "film", "frame"], p=[0.5, 0.14, 0.11, 0.11, 0.07, 0.07]
    )
    u = rng.uniform
    border = None
    if u() < 0.35:
        border = float(rng.choice([250.0, 235.0, 0.0, 90.0]))
    if kind == "clear":
        return Style(
            u(2, 14),
            u(165, 240),
            u(0.95, 1.3),
            u(0.95, 1.25),
            u(0.1, 0.4),
            u(2, 12),
            u(0.8, 2.2),
            border=border,
        )
    if kind == "removed":
        return Style(
            0.0,
            u(215, 250),
            u(0.75, 0.95),
            u(0.9, 1.2),
            u(0.5, 0.8),
            0.0,
            u(1.0, 2.5),
            cut_out=True,
            marked=False,
        )
    if kind == "dark":
        low = u(4, 32)
        return Style(
            low, low + u(24, 55), u(0.9, 1.2), u(0.8, 1.1), u(0.0, 0.2), u(0, 3), u(0.5, 1.0), border=None
        )
    if kind == "bright":
        return Style(u(28, 58), u(215, 250), u(0.8, 1.1), u(0.9, 1.2), u(0.15, 0.4), u(4, 14), u(1.0, 2.0),
                     border=250.0 if u() < 0.8 else None)  # fmt: skip
    if kind == "film":
        return Style(
            u(48, 108),
            u(205, 242),
            u(0.8, 1.2),
            u(0.6, 0.95),
            u(0.0, 0.1),
            u(4, 14),
            u(1.0, 2.2),
            marked=False,
        )
    low = u(15, 125)
    return Style(low, min(250.0, low + u(60, 120)), u(0.9, 1.2), u(0.7, 1.0), u(0.0, 0.2), u(2, 8), u(0.8, 1.6),
                 turned=float(rng.choice([u(-6, 6), u(-45, 45)], p=[0.7, 0.3])),
                 outside=float(rng.choice([0.0, low - 10.0, low + 30.0])))  # fmt: skip


def choose_size(style: Style, rng: np.random.Generator) -> tuple[int, int]:
    """(width, height) as the sources have them: thumbnails of digital films, large cut-outs, crops of old films."""
    if style.cut_out:
        return (1600, 2080)
    if style.turned is None and style.background > 58.0:
        height = int(rng.integers(900, 1600))
        return (int(height * rng.uniform(0.64, 0.86)), height)
    if rng.uniform() < 0.12:
        height = int(rng.integers(900, 2080))
        return (int(height * rng.uniform(0.74, 0.82)), height)
    return (500, 625)


def film_corners(style: Style, size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64] | None:
    """Corners (4, 2) of a film that lies turned in the picture, None where the film fills it."""
    if style.turned is None:
        return None
    width, height = size
    a = np.radians(style.turned)
    wide, high = 0.5 * width * rng.uniform(0.66, 0.86), 0.5 * height * rng.uniform(0.66, 0.86)
    reach = np.abs([[np.cos(a), np.sin(a)], [np.sin(a), np.cos(a)]]) @ [wide, high]
    shrink = min(1.0, float((0.5 * np.array(size) * 0.99 / reach).min()))
    corners = np.array([[-wide, -high], [wide, -high], [wide, high], [-wide, high]]) * shrink
    turn = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    return np.asarray(corners @ turn + 0.5 * np.array(size))


def expose(
    flesh: Map, mineral: Map, marker: Marker, film: NDArray[np.bool_], style: Style, unit: float,
    rng: np.random.Generator,
) -> NDArray[np.uint8]:  # fmt: skip
    """Grey picture (H, W) of a hand: `flesh` and `mineral` are thicknesses, `unit` the pixels a third metacarpal."""
    absorbed = flesh + style.mineral * 1.0 * mineral
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
    grey = _add_marker(grey, marker, style)
    if style.cut_out:
        grey = np.where(flesh > 0.05, grey, 0.0)
    grey = _borders(grey, film, style, rng)
    rough = rng.standard_normal(grey.shape, dtype=np.float32)
    rough = cv2.GaussianBlur(rough, (0, 0), 0.6) * np.float32(1.9)
    strength = style.noise * (0.6 + 0.9 * np.sqrt(np.clip(grey, 0.0, 255.0) / 255.0)) * span / 200.0
    if style.cut_out:
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
