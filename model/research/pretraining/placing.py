"""Placement of a scene in an image: rotation, scale, bending and shift, more varied than on real films."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.research.phantom.raster import Map
from model.research.phantom.scene import Scene
from model.research.phantom.style import Style, film_corners

UPRIGHT, LEANING = 0.72, 0.94
"""Shares of hands nearly upright, and at most 50° from upright; the others are at any angle."""
CUT_OFF = 0.15
"""Share of images whose edge may cut off parts of the hand."""
BEND = 0.022
"""Largest shift of a control point of the bending, as a share of the image's longer side."""
CONTROL_POINTS = 5
"""Control points of the bending along each side."""


@dataclass(frozen=True)
class PlacedScene:
    """A scene in an image of (H, W) pixels.

    Attributes:
        flesh, mineral: float32 thicknesses (H, W) in lengths of the third metacarpal.
        mask: (H, W), whether a pixel is labelled bone.
        film: (H, W), whether a pixel is on the film.
        joints: (38, 2) base and head of each labelled bone in turn, as (x, y) pixels, as in `Scene.hand`.
        unit: length of the third metacarpal in pixels.
    """

    flesh: Map
    mineral: Map
    mask: NDArray[np.bool_]
    film: NDArray[np.bool_]
    joints: NDArray[np.float64]
    unit: float


def place(scene: Scene, style: Style, size: tuple[int, int], rng: np.random.Generator) -> PlacedScene:
    """Place a scene at random in an image of `size` (width, height), on a film of `style`."""
    film: NDArray[np.uint8] = np.ones((size[1], size[0]), np.uint8)
    corners = film_corners(style, size, rng)
    if corners is None or style.turned is None:
        matrix = _placement(scene, size, rng)
    else:
        film[:] = 0
        cv2.fillPoly(film, [np.round(corners).astype(np.int32)], 1)
        sides = tuple(int(np.hypot(*(corners[i] - corners[0]))) for i in (1, 3))
        onto = _turn(np.radians(style.turned), 1.0)
        onto[:, 2] = corners[0]
        matrix = _after(onto, _placement(scene, (sides[0], sides[1]), rng))
    grid = _sampling(matrix, size, rng)
    joints = scene.hand @ matrix[:, :2].T + matrix[:, 2]
    bones = (scene.bones > 0).astype(np.float32)
    mask = (_sampled(bones, grid) >= 0.5) & (film > 0)
    unit = scene.unit * float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    flesh, mineral = (_sampled(layer.astype(np.float32), grid) for layer in (scene.flesh, scene.mineral))
    return PlacedScene(flesh, mineral, mask, film > 0, joints, unit)


def _placement(scene: Scene, size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64]:
    """Draw the affine transformation (2, 3) from the scene to a rectangle of `size` (width, height).

    The labelled bones fill 0.45 to 0.95 of the rectangle. Shifts favour the side of the fingertips, as on
    real films, so that much of the forearm is visible: a network that rarely sees a forearm confuses its
    shafts with metacarpals.
    """
    kind = rng.uniform()
    spread = 10.0 if kind < UPRIGHT else 50.0
    angle = rng.normal(0.0, spread) if kind < UPRIGHT else rng.uniform(-spread, spread)
    angle = rng.uniform(-180.0, 180.0) if kind > LEANING else angle
    stretch = np.exp(rng.normal(0.0, 0.05, 2))
    lean = rng.normal(0.0, 0.03)
    shape = _turn(np.radians(angle), 1.0)[:, :2] @ np.array([[stretch[0], lean], [0.0, stretch[1]]])
    spots = scene.hand @ shape.T
    extent = np.ptp(spots, axis=0)
    share = 0.45 + 0.5 * rng.beta(2.0, 2.2)
    zoom = share * float(np.min(np.array(size) / extent))
    free = np.array(size) - zoom * extent
    slack = np.array(size) * (rng.uniform(0.0, 0.12) if rng.uniform() < CUT_OFF else -0.015)
    low, high = np.minimum(-slack, free + slack), np.maximum(-slack, free + slack)
    forearm = shape[:, 1] / float(np.hypot(*shape[:, 1]))
    where = rng.uniform(0.0, 1.0, 2) ** (1.0 + np.abs(forearm))
    shift = low + (high - low) * np.where(forearm > 0, where, 1.0 - where)
    return np.concatenate([zoom * shape, (shift - zoom * spots.min(axis=0))[:, None]], axis=1)


def _turn(angle: float, zoom: float) -> NDArray[np.float64]:
    """Affine transformation (2, 3): rotation clockwise in the image by `angle` radians, and scale."""
    c, s = zoom * np.cos(angle), zoom * np.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0]])


def _after(second: NDArray[np.float64], first: NDArray[np.float64]) -> NDArray[np.float64]:
    """The affine transformation that applies `first`, then `second`."""
    return np.concatenate(
        [second[:, :2] @ first[:, :2], (second[:, :2] @ first[:, 2] + second[:, 2])[:, None]], axis=1
    )


def _sampling(
    matrix: NDArray[np.float64], size: tuple[int, int], rng: np.random.Generator
) -> tuple[Map, Map]:
    """Position (x, y) in the scene of every pixel of the image: the inverse of `matrix`, slightly bent."""
    width, height = size
    bend = rng.uniform(0.0, BEND) * max(size)
    knots = rng.uniform(-bend, bend, (2, CONTROL_POINTS, CONTROL_POINTS)).astype(np.float32)
    dx, dy = (cv2.resize(knot, (width, height), interpolation=cv2.INTER_CUBIC) for knot in knots)
    x = np.arange(width, dtype=np.float32)[None] + dx
    y = np.arange(height, dtype=np.float32)[:, None] + dy
    back = np.asarray(cv2.invertAffineTransform(matrix), np.float32)
    return back[0, 0] * x + back[0, 1] * y + back[0, 2], back[1, 0] * x + back[1, 1] * y + back[1, 2]


def _sampled(layer: Map, grid: tuple[Map, Map]) -> Map:
    # Only the forearm reaches the edge of the scene, so replicating the edge continues it.
    method, border = cv2.INTER_LINEAR, cv2.BORDER_REPLICATE
    return np.asarray(cv2.remap(layer, grid[0], grid[1], method, borderMode=border), np.float32)
