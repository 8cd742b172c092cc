"""Projection of bones: cortex, marrow and trabeculae as a thickness map, and labels from the same raster.

Each bone is drawn in its own box, as a polygon at a multiple of the image's resolution. Label and thickness
are averages of this raster, so the masks are exact.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.research.phantom.bones import BoneKind, Points, distal_epiphysis, epiphysis_height
from model.research.phantom.growth import Growth, Plate
from model.research.phantom.pose import PlacedBone, View
from model.research.phantom.raster import Map, depth_inside, filled, resized
from model.research.phantom.wrist import Piece

# Approximate length of the third metacarpal, in pixels, in the raster of a bone.
_RASTER = 520.0
# Mineral per unit of depth, chosen for the contrast between bone and flesh of the nine real hands.
_DENSITY: dict[BoneKind, float] = {
    BoneKind.THUMB_METACARPAL: 4.2,
    BoneKind.METACARPAL: 4.6,
    BoneKind.THUMB_PROXIMAL: 3.5,
    BoneKind.PROXIMAL: 3.0,
    BoneKind.MIDDLE: 1.85,
    BoneKind.THUMB_DISTAL: 2.3,
    BoneKind.DISTAL: 2.25,
}
ISLAND = 0.6
"""An ossification centre narrower than this share of its shaft is labelled as an island, plate excluded."""


@dataclass(frozen=True)
class Box:
    """The raster of a bone, at `zoom` times the image's resolution; all else is in image pixels."""

    left: int
    top: int
    width: int
    height: int
    zoom: int

    def fill(self, polygon: Points) -> NDArray[np.uint8]:
        """Draw a polygon (N, 2) of (x, y) image pixels in the raster, as 0/255."""
        points = (polygon - (self.left, self.top) + 0.5) * self.zoom - 0.5
        return filled(points, (self.height * self.zoom, self.width * self.zoom))

    def shrink(self, raster: NDArray) -> NDArray[np.float32]:
        """Average a raster over the image's pixels, (height, width)."""
        return resized(raster.astype(np.float32), (self.width, self.height))

    def window(self, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], tuple[slice, slice]]:
        """Index of the box in an image of `shape` (H, W), and index of the image in the box."""
        top, left = max(0, self.top), max(0, self.left)
        bottom, right = min(shape[0], self.top + self.height), min(shape[1], self.left + self.width)
        bottom, right = max(bottom, top), max(right, left)
        inside = (slice(top - self.top, bottom - self.top), slice(left - self.left, right - self.left))
        return (slice(top, bottom), slice(left, right)), inside


def _box(polygon: Points, view: View, size: tuple[int, int]) -> Box:
    zoom = int(np.clip(round(_RASTER / view.scale), 1, 6))
    low = np.floor(np.maximum(polygon.min(axis=0), (-20, -20))).astype(int) - 2
    high = np.ceil(np.minimum(polygon.max(axis=0), (size[0] + 20, size[1] + 20))).astype(int) + 3
    extent = np.maximum(high - low, 1)
    return Box(int(low[0]), int(low[1]), int(extent[0]), int(extent[1]), zoom)


def draw_bones(
    bones: list[PlacedBone], growth: Growth, view: View, size: tuple[int, int], rng: np.random.Generator
) -> tuple[Map, NDArray[np.uint8]]:
    """Project the labelled bones onto an image of `size` (width, height).

    Returns:
        Thickness of mineral (H, W), as an equivalent thickness of solid cortex in lengths of the third
        metacarpal; and bone numbers 0..19 (H, W), of which the later wins where two bones overlap.
    """
    thickness = np.zeros((size[1], size[0]), np.float32)
    labels = np.zeros((size[1], size[0]), np.uint8)
    tile = _trabeculae(rng)
    for placed in bones:
        plate = growth.plate(placed.bone.kind)
        box = _box(view.to_picture(placed.to_hand(placed.profile.outline())), view, size)
        there, here = box.window(labels.shape)
        mineral, whole = _tubular(placed, plate, view, box, tile)
        thickness[there] += box.shrink(mineral)[here]
        labels[there][box.shrink(whole)[here] >= 127.5] = placed.bone.number
    # Young bone has less mineral for its size.
    return thickness * np.float32(0.75 + 0.25 * growth.adulthood), labels


def draw_pieces(pieces: list[Piece], view: View, size: tuple[int, int], rng: np.random.Generator) -> Map:
    """Project the unlabelled bones; thickness of mineral (H, W) as in `draw_bones`."""
    thickness = np.zeros((size[1], size[0]), np.float32)
    tile = _trabeculae(rng)
    for piece in pieces:
        polygon = view.to_picture(piece.outline)
        box = _box(polygon, view, size)
        if box.left >= size[0] or box.top >= size[1]:
            continue
        there, here = box.window(thickness.shape)
        below, above = thickness[there], box.shrink(_shell(box, polygon, piece, view, tile))[here]
        thickness[there] = overlay(below, above)
    return thickness


def overlay(below: Map, above: Map) -> Map:
    """Combine thicknesses (H, W) of two bones: less than the sum, as they overlap at their thin rims."""
    return np.maximum(below, above) + np.float32(0.4) * np.minimum(below, above)


def _tubular(
    placed: PlacedBone, plate: Plate, view: View, box: Box, tile: Map
) -> tuple[Map, NDArray[np.uint8]]:
    """Mineral and labelled area (0/255) of a shaft with its epiphysis, in the raster of `box`."""
    profile, kind = placed.profile, placed.bone.kind
    t, w = _own_frame(placed, view, box)
    slot = epiphysis_height(kind)
    if plate.gap == 0.0:
        parts = [box.fill(view.to_picture(placed.to_hand(profile.outline())))]
        whole = parts[0]
    else:
        parts, whole = _open_plate(placed, plate, view, box, slot)
    half = profile.half_width(t).astype(np.float32)
    middle = profile.middle(t).astype(np.float32)
    side = np.abs(w - middle) / np.maximum(half, 1e-3)
    shaft = np.clip(1.0 - np.abs(t - 0.52) / 0.40, 0.0, 1.0).astype(np.float32)
    shell = 0.055 + 0.30 * np.clip(1.6 * shaft, 0.0, 1.0) ** 1.3
    outer = half * _chord(side)
    inner = half * (1.0 - shell) * _chord(side / (1.0 - shell))
    spongy = 0.22 - 0.14 * shaft
    grain = _grain(tile, t * profile.length, w)
    # The cortex is thicker at the sides than in front and behind, so a shaft shows two bright lines.
    cortex = (outer - inner) * (0.75 + 0.6 * np.minimum(side, 1.0) ** 2)
    marrow = inner * spongy * (1.0 + 0.32 * grain)
    mineral = _DENSITY[kind] * (cortex + marrow) * (1.0 + 0.04 * grain)
    ends = np.clip(3.0 * np.abs(2.0 * t - 1.0) - 2.3, 0.0, 0.7).astype(np.float32)
    rim = np.float32(0.009 * view.scale * box.zoom)
    total = np.zeros(mineral.shape, np.float32)
    for part in parts:
        depth = depth_inside(part)
        edge = np.exp(-np.square(depth / rim)) * (depth > 0)
        # A round edge has no depth to absorb X-rays; the chord through a flat end has the full depth.
        rise = np.clip(depth / (0.8 * rim), 0.0, 1.0)
        total = np.maximum(total, (mineral * rise + (0.04 + 0.05 * ends) * edge * rise) * (part > 0))
    if plate.scar > 0.0:
        line = 1.0 - slot if distal_epiphysis(kind) else slot
        total += 0.03 * plate.scar * np.exp(-np.square((t - line) / 0.012)) * (whole > 0) * (plate.gap == 0.0)
    return total, whole


def _open_plate(
    placed: PlacedBone, plate: Plate, view: View, box: Box, slot: float
) -> tuple[list[NDArray[np.uint8]], NDArray[np.uint8]]:
    """Rasters of shaft and epiphysis, and of the labelled area."""
    profile, kind = placed.profile, placed.bone.kind
    cut = slot + plate.gap
    start, stop = (0.0, 1.0 - cut) if distal_epiphysis(kind) else (cut, 1.0)

    def draw(polygon: Points) -> NDArray[np.uint8]:
        return box.fill(view.to_picture(placed.to_hand(polygon)))

    shaft = draw(profile.outline(start, stop))
    if plate.size == 0.0:
        return [shaft], shaft
    centre = 1.0 - 0.5 * slot if distal_epiphysis(kind) else 0.5 * slot
    middle = np.array([float(profile.middle(np.array(centre))), centre * profile.length])
    wide = float(profile.half_width(np.array(centre))) * plate.size
    if plate.size < 0.75:
        ring = np.linspace(0.0, 2.0 * np.pi, 64, endpoint=False)
        high = 0.5 * slot * profile.length * (0.35 + 0.65 * plate.size)
        nucleus = middle + np.stack([wide * np.cos(ring), high * np.sin(ring)], axis=1)
    else:
        first, last = (1.0 - slot, 1.0) if distal_epiphysis(kind) else (0.0, slot)
        nucleus = middle + plate.size * (profile.outline(first, last) - middle)
    epiphysis = draw(nucleus)
    whole = np.maximum(shaft, epiphysis)
    if plate.size >= ISLAND:
        near, far = (stop - 0.03, centre) if distal_epiphysis(kind) else (centre, start + 0.03)
        band = np.array([[-wide, near], [wide, near], [wide, far], [-wide, far]]) * [1.0, profile.length]
        whole = np.maximum(whole, draw(band * [0.97, 1.0] + [middle[0], 0.0]))
    return [shaft, epiphysis], whole


def _own_frame(placed: PlacedBone, view: View, box: Box) -> tuple[Map, Map]:
    """Position along (`t`, as a share of the length) and across (`w`) of every raster pixel."""
    origin = view.to_picture(placed.base[None])[0]
    along = view.to_picture((placed.base + placed.axis)[None])[0] - origin
    along = along / np.square(view.scale)
    axis = placed.axis
    across = view.to_picture((placed.base + np.array([axis[1], -axis[0]]))[None])[0] - origin
    across = across / np.square(view.scale)
    x = ((np.arange(box.width * box.zoom) + 0.5) / box.zoom - 0.5 + box.left - origin[0]).astype(np.float32)
    y = ((np.arange(box.height * box.zoom) + 0.5) / box.zoom - 0.5 + box.top - origin[1]).astype(np.float32)
    t = (x * np.float32(along[0]))[None, :] + (y * np.float32(along[1]))[:, None]
    w = (x * np.float32(across[0]))[None, :] + (y * np.float32(across[1]))[:, None]
    return t / np.float32(placed.length), w


def _chord(side: Map) -> Map:
    return np.sqrt(np.clip(1.0 - side * side, 0.0, 1.0), dtype=np.float32)


def _shell(box: Box, polygon: Points, piece: Piece, view: View, tile: Map) -> Map:
    """Mineral of a bone without an axis: a thin, dense shell around spongy bone."""
    raster = box.fill(polygon)
    unit = view.scale * box.zoom
    # The forearm is cut off by the image's edge, which must not be rendered as an edge of the bone.
    depth = depth_inside(np.pad(raster, 2, mode="edge"))[2:-2, 2:-2] / np.float32(unit)
    half = np.float32(piece.depth)
    side = np.clip(1.0 - depth / half, 0.0, 1.0)
    shell = np.float32(piece.shell)
    outer = half * _chord(side)
    within = np.maximum(depth - shell, 0.0)
    inner = (half - shell) * _chord(np.clip(1.0 - within / (half - shell), 0.0, 1.0))
    y, x = np.mgrid[: raster.shape[0], : raster.shape[1]].astype(np.float32) / np.float32(unit)
    grain = _grain(tile, y, x)
    spongy, density = (0.12, 3.4) if piece.shaft else (0.4, 5.8)
    mineral = density * ((outer - inner) + inner * spongy * (1.0 + 0.25 * grain))
    return np.asarray(mineral * (raster > 0), dtype=np.float32)


_TILE = 512
_TILE_SPAN = 1.0


def _trabeculae(rng: np.random.Generator) -> Map:
    """A periodic square of spongy texture, as wide as the third metacarpal is long; mean 0, variance 1."""
    noise = rng.standard_normal((_TILE, _TILE), dtype=np.float32)
    fine = cv2.GaussianBlur(np.pad(noise, 32, mode="wrap"), (0, 0), sigmaX=1.0, sigmaY=4.5)
    coarse = cv2.GaussianBlur(np.pad(noise[::-1], 32, mode="wrap"), (0, 0), sigmaX=2.2, sigmaY=7.0)
    fine, coarse = fine[32:-32, 32:-32], coarse[32:-32, 32:-32]
    tile = fine / fine.std() + 0.7 * coarse / coarse.std()
    return np.asarray(tile / tile.std(), dtype=np.float32)


def _grain(tile: Map, along: Map, across: Map) -> Map:
    """The texture at positions in lengths of the third metacarpal, with its trabeculae along the bone."""
    rows = (along * (_TILE / _TILE_SPAN)).astype(np.int32) & (_TILE - 1)
    columns = (across * (_TILE / _TILE_SPAN)).astype(np.int32) & (_TILE - 1)
    return np.asarray(tile[rows, columns])
