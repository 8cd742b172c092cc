"""Soft tissue: the outline of the skin around the bones, and the thickness of the flesh at each pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.research.phantom.bones import Points
from model.research.phantom.growth import Growth
from model.research.phantom.pose import PlacedBone, View
from model.research.phantom.raster import Map, blurred, depth_inside, filled, resized
from model.research.phantom.wrist import turned

# Length of the third metacarpal, in pixels, at which flesh is computed; it has no finer detail.
_RESOLUTION = 150.0
# Half width of the flesh at the metacarpal's base and head, then along the finger to its tip.
_GIRTH = (0.2, 0.185, 0.16, 0.156, 0.146, 0.137, 0.127)
# Factor on the half width by ray.
_GIRTH_OF_RAY = (1.2, 1.0, 1.03, 0.97, 0.87)


def flesh(
    bones: list[PlacedBone], growth: Growth, view: View, size: tuple[int, int], deviation: float, bulk: float
) -> Map:
    """Project the soft tissue onto an image of `size` (width, height).

    Args:
        bones: placed bones of the hand.
        growth: maturity, for the amount of fat.
        view: transformation to the image.
        size: (width, height) in pixels.
        deviation: bend of the forearm at the wrist, in degrees.
        bulk: factor on the thickness of the flesh.

    Returns:
        Thickness (H, W) in lengths of the third metacarpal: 0 outside the skin, about 0.3 in a finger and 0.6
        in the palm.
    """
    zoom = min(1.0, _RESOLUTION / view.scale)
    small = view.zoomed(zoom)
    # The forearm continues below the image: without a margin its skin would close at the edge.
    margin = round(0.8 * small.scale)
    height, width = round(size[1] * zoom) + 2 * margin, round(size[0] * zoom) + 2 * margin
    drawn: NDArray[np.uint8] = np.zeros((height, width), np.uint8)
    fat = (1.0 + 0.33 * growth.chubbiness) * bulk
    for polygon in [*_fingers(bones, fat), *_palm(bones, fat), _forearm(fat, deviation, growth)]:
        np.maximum(drawn, filled(small.to_picture(polygon) + margin, drawn.shape), out=drawn)
    unit = small.scale
    pixels, skin = _depth(drawn, (0.035 + 0.02 * growth.chubbiness) * unit)
    depth = pixels / np.float32(unit)
    thick = 0.31 * _round(depth, 0.1 * fat) + 0.27 * _round(np.maximum(depth - 0.08, 0.0), 0.42)
    thick = np.float32(1.0 + 0.3 * growth.chubbiness) * blurred(thick, 0.008 * unit)
    thick = thick + np.float32(0.055) * _thenar(bones, small, margin, skin)
    edge = round(margin / zoom)
    whole = resized(thick, (size[0] + 2 * edge, size[1] + 2 * edge))
    return np.ascontiguousarray(whole[edge : edge + size[1], edge : edge + size[0]])


def _depth(drawn: NDArray[np.uint8], blur: float) -> tuple[Map, NDArray[np.uint8]]:
    """Distance to the skin from inside, in pixels, and the skin 0/255, after a blur that rounds its corners.

    Near the skin the distance is computed from the blurred mask, which is the integral of the normal
    distribution there. This avoids the staircase artefacts of a distance between whole pixels.
    """
    share = blurred(drawn.astype(np.float32) / np.float32(255.0), blur)
    skin = np.where(share > 0.5, np.uint8(255), np.uint8(0))
    bounded = np.clip(share, 0.5, 0.97)
    fine = np.float32(blur / 1.702) * np.log(bounded / (1.0 - bounded))
    weight = np.clip((share - 0.8) / 0.15, 0.0, 1.0)
    return np.asarray((1.0 - weight) * fine + weight * depth_inside(skin), dtype=np.float32), skin


def _round(depth: Map, radius: float) -> Map:
    """Height of a body with a round edge of `radius`, at `depth` inside it, as a share of the full height."""
    rest = np.clip(1.0 - depth / radius, 0.0, 1.0)
    return np.sqrt(1.0 - rest * rest, dtype=np.float32)


def _tube(path: Points, half: Points) -> list[Points]:
    """Polygons that cover a tube of varying width: a quadrilateral per segment, a disc per joint."""
    pieces = []
    ring = np.linspace(0.0, 2.0 * np.pi, 40, endpoint=False)
    circle = np.stack([np.cos(ring), np.sin(ring)], axis=1)
    for i in range(len(path)):
        pieces.append(path[i] + half[i] * circle)
        if i + 1 < len(path):
            along = path[i + 1] - path[i]
            across = np.array([along[1], -along[0]]) / max(1e-9, float(np.hypot(*along)))
            ends = (path[i] + half[i] * across, path[i + 1] + half[i + 1] * across)
            pieces.append(np.array([*ends, path[i + 1] - half[i + 1] * across, path[i] - half[i] * across]))
    return pieces


def _fingers(bones: list[PlacedBone], fat: float) -> list[Points]:
    pieces = []
    for ray in range(1, 6):
        chain = [placed for placed in bones if placed.bone.ray == ray]
        path = [chain[0].base, chain[0].head]
        girth = [_GIRTH[0], _GIRTH[1]]
        for i, placed in enumerate(chain[1:]):
            middle = 0.5 * (placed.base + placed.head)
            last = placed is chain[-1]
            path += [middle, placed.head + (0.0 if last else 0.013) * placed.axis]
            girth += [_GIRTH[2 + 2 * i], _GIRTH[3 + 2 * i]] if not last else [_GIRTH[5], _GIRTH[6]]
        widths = np.array(girth) * _GIRTH_OF_RAY[ray - 1] * fat
        tip = chain[-1]
        path[-1] = tip.head + (0.085 * fat - widths[-1] + 0.04) * tip.axis
        pieces += _tube(np.array(path), widths)
    return pieces


def _palm(bones: list[PlacedBone], fat: float) -> list[Points]:
    first, second, _, _, fifth = (next(p for p in bones if p.bone.number == n) for n in range(1, 6))
    wrist = [np.array([-0.42 * fat, -0.5]), np.array([0.38 * fat, -0.5])]
    web = first.base + 0.75 * first.length * first.axis
    heel = fifth.base - np.array([0.14 * fat, 0.0])
    return [
        np.array([second.head, fifth.head, heel, *wrist, first.base, web]),
        np.array([second.head, web, first.base, second.base]),
    ]


def _forearm(fat: float, deviation: float, growth: Growth) -> Points:
    wide = 0.455 * (1.0 + 0.22 * growth.chubbiness) * (0.5 + 0.5 * fat)
    along = np.array([-0.25, -0.5, -0.75, -1.1, -1.6, -2.5, -4.0])
    half = wide * np.array([1.05, 1.02, 0.98, 0.97, 1.02, 1.12, 1.3])
    half[0] = 0.42 * fat
    polygon = np.concatenate(
        [np.stack([half - 0.09, along], axis=1), np.stack([-half - 0.09, along], axis=1)[::-1]]
    )
    return turned(polygon, deviation)


def _thenar(bones: list[PlacedBone], view: View, margin: int, skin: NDArray[np.uint8]) -> Map:
    """The thenar (ball of the thumb): a mound whose edge towards the palm is visible as a faint arc."""
    thumb = bones[0]
    ring = np.linspace(0.0, 2.0 * np.pi, 60, endpoint=False)
    local = np.stack([0.27 * np.cos(ring) - 0.14, 0.42 * np.sin(ring) + 0.5 * thumb.length], axis=1)
    ball = filled(view.to_picture(thumb.to_hand(local)) + margin, skin.shape) & skin
    depth = depth_inside(ball) / np.float32(view.scale)
    return blurred(_round(depth, 0.25), 0.008 * view.scale)
