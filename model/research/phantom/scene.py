"""Scenes: the projected thicknesses of a hand, before exposure."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.research.phantom.growth import Growth, grow
from model.research.phantom.pose import PlacedBone, View, frame_hand, pose_hand
from model.research.phantom.radiograph import draw_bones, draw_pieces, overlay
from model.research.phantom.raster import Map
from model.research.phantom.tissue import flesh
from model.research.phantom.wrist import wrist_pieces


def project_hand(
    hand: list[PlacedBone], growth: Growth, view: View, size: tuple[int, int], body: np.random.Generator
) -> tuple[Map, Map, NDArray[np.uint8]]:
    """Project a hand with its forearm onto an image of `size` (width, height).

    Returns:
        Thickness of flesh and of mineral, in lengths of the third metacarpal, and bone numbers 0..19; each
        (H, W).
    """
    deviation = float(body.normal(-4.0, 9.0))
    bulk = float(np.clip(body.normal(1.0, 0.06), 0.88, 1.18))
    tissue = flesh(hand, growth, view, size, deviation, bulk)
    mineral, bones = draw_bones(hand, growth, view, size, body)
    pieces = draw_pieces(wrist_pieces(growth, deviation, body), view, size, body)
    return tissue, overlay(mineral, pieces), bones


@dataclass(frozen=True)
class Scene:
    """A hand that can be turned, shifted and exposed many times.

    The maps extend beyond the image of `size` by `margin` pixels on each side: H = height + 2 margin,
    W = width + 2 margin.

    Attributes:
        flesh, mineral: float16 thicknesses (H, W) in lengths of the third metacarpal.
        bones: uint8 bone numbers 0..19 (H, W).
        hand: (38, 2) base and head of each labelled bone in turn, as (x, y) pixels of the maps; bones are in
            the order of `pose_hand`.
        size: (width, height) of the image in pixels.
        margin: in pixels.
        unit: length of the third metacarpal in pixels.
        mirror: whether the hand is mirrored left to right.
    """

    flesh: NDArray[np.float16]
    mineral: NDArray[np.float16]
    bones: NDArray[np.uint8]
    hand: NDArray[np.float64]
    size: tuple[int, int]
    margin: int
    unit: float
    mirror: bool


def draw_scene(age: int, seed: int, size: tuple[int, int], margin: int) -> Scene:
    """Draw the scene of a child of `age` (0 to 18 years); the same arguments give the same bytes.

    Args:
        age: in years, 0 to 18.
        seed: of all random draws.
        size: (width, height) in pixels of the image in which the hand is placed.
        margin: pixels by which the scene extends beyond the image on each side.
    """
    body = np.random.default_rng([seed, age, 0])
    growth = grow(age, body)
    hand = pose_hand(growth, body)
    inner = frame_hand(hand, growth, size, body)
    view = View(inner.scale, inner.angle, (inner.origin[0] + margin, inner.origin[1] + margin), inner.mirror)
    whole = (size[0] + 2 * margin, size[1] + 2 * margin)
    tissue, mineral, bones = project_hand(hand, growth, view, whole, body)
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
