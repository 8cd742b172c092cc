"""Scenes: what X-rays meet on their way, before anyone chooses an exposure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.research.phantom.growth import Growth, grow
from model.research.phantom.pose import Placed, View, frame_hand, pose_hand
from model.research.phantom.radiograph import draw_bones, draw_pieces, overlay
from model.research.phantom.raster import Map
from model.research.phantom.tissue import flesh
from model.research.phantom.wrist import wrist_pieces


def cast_shadow(
    hand: list[Placed], growth: Growth, view: View, size: tuple[int, int], body: np.random.Generator
) -> tuple[Map, Map, NDArray[np.uint8]]:
    """Thickness of flesh and of mineral, and bone numbers 0..19, each (H, W), of a hand with its forearm."""
    deviation = float(body.normal(-4.0, 9.0))
    bulk = float(np.clip(body.normal(1.0, 0.06), 0.88, 1.18))
    tissue = flesh(hand, growth, view, size, deviation, bulk)
    mineral, bones = draw_bones(hand, growth, view, size, body)
    pieces = draw_pieces(wrist_pieces(growth, deviation, body), view, size, body)
    return tissue, overlay(mineral, pieces), bones


@dataclass(frozen=True)
class Scene:
    """A hand that may be exposed many times, and turned before that: it goes on beyond the picture.

    `flesh` and `mineral` are float16 thicknesses (H, W) in lengths of the third metacarpal, `bones` uint8
    (H, W) the numbers 0..19; all three reach `margin` pixels beyond the picture of `size` (width, height) on
    each side. `hand` (38, 2) holds base and head of each labelled bone as (x, y), `unit` is the length of the
    third metacarpal in pixels."""

    flesh: NDArray[np.float16]
    mineral: NDArray[np.float16]
    bones: NDArray[np.uint8]
    hand: NDArray[np.float64]
    size: tuple[int, int]
    margin: int
    unit: float
    mirror: bool


def draw_scene(age: int, seed: int, size: tuple[int, int], margin: int) -> Scene:
    """The hand of one child of `age` 0..18 years laid into a picture of `size` (width, height), and `margin`
    pixels more on each side; the same arguments give the same bytes."""
    body = np.random.default_rng([seed, age, 0])
    growth = grow(age, body)
    hand = pose_hand(growth, body)
    inner = frame_hand(hand, growth, size, body)
    view = View(inner.scale, inner.angle, (inner.origin[0] + margin, inner.origin[1] + margin), inner.mirror)
    whole = (size[0] + 2 * margin, size[1] + 2 * margin)
    tissue, mineral, bones = cast_shadow(hand, growth, view, whole, body)
    ends = view.to_picture(np.concatenate([[placed.base, placed.head] for placed in hand]))
    return Scene(
        tissue.astype(np.float16),
        mineral.astype(np.float16),
        bones,
        ends,
        size,
        margin,
        view.scale,
        view.mirror,
    )
