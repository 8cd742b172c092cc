"""Randomisation of everything in a radiograph that does not determine where its bones are."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
from numpy.typing import NDArray

from model.research.phantom.raster import Map, blurred
from model.research.phantom.style import Style
from model.research.pretraining.placing import PlacedScene

INVERTED = 0.04
"""Share of images with dark bones on a bright background, as films are sometimes stored."""


def varied_style(style: Style, rng: np.random.Generator) -> Style:
    """Vary a style far beyond the ranges of its look."""
    return replace(
        style,
        gamma=style.gamma * float(np.exp(rng.uniform(-0.3, 0.3))),
        mineral=style.mineral * float(np.exp(rng.uniform(-0.45, 0.35))),
        local=float(np.clip(style.local + rng.normal(0.0, 0.2), 0.0, 1.0)),
        glow=style.glow * float(rng.uniform(0.0, 2.0)),
        noise=style.noise * float(np.exp(rng.uniform(-1.2, 0.6))),
        sharpening=style.sharpening * float(rng.uniform(0.0, 2.0)),
    )


def varied_body(placed: PlacedScene, rng: np.random.Generator) -> tuple[Map, Map]:
    """Vary the body in a scene: thickness, grain, sesamoids and occasionally a ring.

    Returns:
        Thickness of flesh and of mineral, each (H, W), in lengths of the third metacarpal.
    """
    shape = placed.flesh.shape
    flesh = placed.flesh * np.exp(_field(shape, 5, rng) * np.float32(rng.uniform(0.0, 0.22)))
    mineral = placed.mineral * np.exp(_field(shape, 7, rng) * np.float32(rng.uniform(0.0, 0.35)))
    grain = blurred(rng.standard_normal(shape, dtype=np.float32), float(rng.uniform(0.6, 2.2)))
    grain /= grain.std()
    mineral = mineral * np.maximum(1.0 + np.float32(rng.uniform(0.0, 0.15)) * grain, 0.2)
    flesh = flesh * (1.0 + np.float32(rng.uniform(0.0, 0.04)) * grain[::-1])
    return flesh, _with_extras(mineral, placed, rng)


def _field(shape: tuple[int, ...], cells: int, rng: np.random.Generator) -> Map:
    """A smooth random field (H, W), interpolated between standard normal values on a grid."""
    knots = rng.standard_normal((cells, cells)).astype(np.float32)
    return np.asarray(cv2.resize(knots, (shape[1], shape[0]), interpolation=cv2.INTER_CUBIC), np.float32)


def _with_extras(mineral: Map, placed: PlacedScene, rng: np.random.Generator) -> Map:
    """Add sesamoids beside joints, and a ring around a finger."""
    unit, heads, bases = placed.unit, placed.joints[19:], placed.joints[:19]
    for ray, likely in ((0, 0.6), (0, 0.5), (1, 0.2), (4, 0.25)):
        if rng.uniform() < likely:
            centre = heads[ray] + rng.normal(0.0, 0.05, 2) * unit
            axes = unit * rng.uniform(0.022, 0.045, 2)
            mineral = mineral + _ellipse(mineral.shape, centre, axes, rng) * np.float32(
                rng.uniform(0.05, 0.25)
            )
    if rng.uniform() < 0.05:
        # BONES lists the proximal phalanges of rays 2 to 5 at 6..9.
        finger = 6 + int(rng.integers(4))
        along = heads[finger] - bases[finger]
        across = np.array([along[1], -along[0]]) / max(1e-6, float(np.hypot(*along))) * unit * 0.15
        middle = bases[finger] + rng.uniform(0.25, 0.6) * along
        ring = np.zeros(mineral.shape, np.float32)
        ends = [(int(end[0]), int(end[1])) for end in (middle - across, middle + across)]
        cv2.line(ring, ends[0], ends[1], 1.0, max(1, round(unit * rng.uniform(0.03, 0.07))), cv2.LINE_AA)
        mineral = mineral + ring * np.float32(rng.uniform(0.5, 2.0))
    return mineral


def _ellipse(
    shape: tuple[int, ...], centre: NDArray[np.float64], axes: NDArray[np.float64], rng: np.random.Generator
) -> Map:
    blob = np.zeros(shape, np.float32)
    box = (tuple(map(float, centre)), tuple(map(float, 2.0 * axes)), float(rng.uniform(0.0, 180.0)))
    cv2.ellipse(blob, box, 1.0, -1, cv2.LINE_AA)
    return blob


def varied_image(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """Vary a radiograph (H, W) as other readers, scanners, programs and archives would."""
    grey = image.astype(np.float32)
    if rng.uniform() < 0.35:
        grey = grey * np.exp(_field(grey.shape, 3, rng) * np.float32(rng.uniform(0.0, 0.25)))
    if rng.uniform() < 0.2:
        grey = _occluded(grey, rng)
    if rng.uniform() < 0.3:
        grey = blurred(grey, float(rng.uniform(0.4, 1.6)))
    if rng.uniform() < 0.3:
        radius = float(rng.uniform(0.8, 6.0))
        grey = grey + np.float32(rng.uniform(0.2, 1.5)) * (grey - blurred(grey, radius))
    if rng.uniform() < 0.2:
        grey = _equalised(grey, rng)
    if rng.uniform() < 0.6:
        grey = _toned(grey, rng)
    if rng.uniform() < 0.3:
        noise = rng.standard_normal(grey.shape, dtype=np.float32)
        if rng.uniform() < 0.5:
            noise = blurred(noise, float(rng.uniform(0.5, 1.2))) * np.float32(2.0)
        grey = grey + noise * np.float32(rng.uniform(0.0, 0.025) * np.ptp(grey))
    if rng.uniform() < INVERTED:
        grey = grey.max() - grey
    result = np.clip(grey + 0.5, 0, 255).astype(np.uint8)
    return _compressed(result, rng) if rng.uniform() < 0.2 else result


def _toned(grey: Map, rng: np.random.Generator) -> Map:
    """Apply a random monotone tone curve that keeps the darkest and the brightest value."""
    low, high = float(grey.min()), float(grey.max())
    steps = np.concatenate([[0.0], np.cumsum(np.exp(rng.normal(0.0, 0.55, 5)))])
    knots = np.linspace(low, high, 6)
    levels = low + (high - low) * steps / steps[-1]
    curve = np.interp(np.linspace(low, high, 64), knots, levels)
    curve = np.convolve(np.pad(curve, 4, mode="edge"), np.ones(9) / 9, mode="valid")
    return np.interp(grey, np.linspace(low, high, 64), curve).astype(np.float32)


def _equalised(grey: Map, rng: np.random.Generator) -> Map:
    tiles = int(rng.integers(2, 9))
    picture = np.clip(grey, 0, 255).astype(np.uint8)
    return np.asarray(
        cv2.createCLAHE(float(rng.uniform(1.0, 4.0)), (tiles, tiles)).apply(picture), np.float32
    )


def _occluded(grey: Map, rng: np.random.Generator) -> Map:
    """Draw objects that cover the film or were burnt in: plates and lines, each of one grey level."""
    height, width = grey.shape
    top = float(grey.max())
    for _ in range(int(rng.integers(1, 4))):
        level = float(rng.uniform(0.0, top))
        x, y = int(rng.integers(width)), int(rng.integers(height))
        layer = np.zeros(grey.shape, np.float32)
        if rng.uniform() < 0.5:
            sides = (float(rng.uniform(0.02, 0.16) * width), float(rng.uniform(0.02, 0.16) * height))
            box = cv2.boxPoints(((float(x), float(y)), sides, float(rng.uniform(0.0, 180.0))))
            cv2.fillPoly(layer, [np.round(box).astype(np.int32)], 1.0, cv2.LINE_AA)
        else:
            end = (int(rng.integers(width)), int(rng.integers(height)))
            cv2.line(layer, (x, y), end, 1.0, int(rng.integers(1, 4)), cv2.LINE_AA)
        grey = grey + np.float32(rng.uniform(0.3, 1.0)) * layer * (np.float32(level) - grey)
    return grey


def _compressed(picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 90))])
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_GRAYSCALE), np.uint8)
