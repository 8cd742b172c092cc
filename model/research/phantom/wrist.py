"""The bones that are drawn but not labelled: carpals, radius and ulna, as polygons in the hand's frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.research.phantom.bones import Points
from model.research.phantom.growth import Growth, Plate

# Centre and outline of each carpal; radii every 30 degrees from the side of the thumb towards the fingers.
_CARPALS: dict[str, tuple[tuple[float, float], tuple[float, ...]]] = {
    "capitate": ((0.0, -0.195), (0.1, 0.12, 0.185, 0.17, 0.185, 0.12, 0.1, 0.105, 0.13, 0.175, 0.14, 0.11)),
    "hamate": ((-0.205, -0.175), (0.085, 0.11, 0.125, 0.11, 0.13, 0.165, 0.14, 0.11, 0.11, 0.14, 0.13, 0.1)),
    "trapezoid": ((0.205, -0.135), (0.085, 0.1, 0.1, 0.09, 0.1, 0.105, 0.085, 0.08, 0.1, 0.09, 0.085, 0.085)),
    "trapezium": ((0.365, -0.2), (0.1, 0.12, 0.12, 0.11, 0.12, 0.12, 0.1, 0.1, 0.11, 0.1, 0.11, 0.11)),
    "scaphoid": ((0.2, -0.385), (0.1, 0.14, 0.18, 0.14, 0.095, 0.08, 0.09, 0.12, 0.165, 0.14, 0.1, 0.085)),
    "lunate": (
        (-0.04, -0.485),
        (0.14, 0.12, 0.09, 0.075, 0.09, 0.12, 0.135, 0.125, 0.105, 0.095, 0.105, 0.13),
    ),
    "triquetrum": ((-0.27, -0.385), (0.09, 0.1, 0.12, 0.14, 0.13, 0.1, 0.085, 0.09, 0.12, 0.14, 0.11, 0.095)),
    "pisiform": (
        (-0.32, -0.415),
        (0.08, 0.08, 0.085, 0.09, 0.085, 0.08, 0.075, 0.075, 0.08, 0.085, 0.08, 0.08),
    ),
}

# The centre of the wrist, around which the forearm bends.
_PIVOT = np.array([-0.03, -0.42])


def turned(points: Points, deviation: float) -> Points:
    """Rotate points (N, 2) of the forearm around the wrist by `deviation` degrees."""
    a = np.radians(deviation)
    turn = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    return np.asarray((points - _PIVOT) @ turn + _PIVOT)


@dataclass(frozen=True)
class Piece:
    """One unlabelled bone or part of a bone; lengths are in lengths of the third metacarpal.

    Attributes:
        outline: polygon (N, 2) in the frame of the hand.
        shell: thickness of the cortical shell.
        depth: its largest thickness, which it reaches at the same distance from the edge.
        shaft: whether it is the shaft of a long bone.
    """

    outline: Points
    shell: float
    depth: float
    shaft: bool = False


def wrist_pieces(growth: Growth, deviation: float, rng: np.random.Generator) -> list[Piece]:
    """The ossified parts of the carpals, then ulna and radius, bent by `deviation` degrees at the wrist."""
    pieces = [_carpal(name, share, rng) for name, share in growth.carpals().items()]
    for shaft, epiphysis in (_ulna(growth.ulna), _radius(growth.radius)):
        for outline, shell, is_shaft in ((shaft, 0.038, True), (epiphysis, 0.012, False)):
            if outline is not None:
                depth = 0.16 if is_shaft else 0.05
                pieces.append(Piece(turned(outline, deviation), shell, depth, is_shaft))
    return pieces


def _carpal(name: str, share: float, rng: np.random.Generator) -> Piece:
    centre, radii = _CARPALS[name]
    angles = np.linspace(0.0, 2.0 * np.pi, 72, endpoint=False)
    corners = np.arange(12) * np.pi / 6.0
    bumps = np.array(radii) * rng.normal(1.0, 0.05, 12)
    roundness = np.clip(1.1 - share, 0.0, 0.8)
    bumps = (1.0 - roundness) * bumps + roundness * bumps.mean()
    radius = np.interp(angles, corners, bumps, period=2.0 * np.pi)
    kernel = np.hanning(9)[1:-1]
    radius = np.convolve(
        np.concatenate([radius[-3:], radius, radius[:3]]), kernel / kernel.sum(), mode="valid"
    )
    place = np.array(centre) + rng.normal(0.0, 0.012, 2)
    outline = place + share * (1.0 + 0.16 * share**4) * radius[:, None] * np.stack(
        [np.cos(angles), np.sin(angles)], axis=1
    )
    return Piece(outline, 0.012, 0.05)


def _shaft(centre: Points, half: Points, along: Points) -> Points:
    right = np.stack([centre + half, along], axis=1)
    left = np.stack([centre - half, along], axis=1)
    return np.concatenate([right, left[::-1]])


def _radius(plate: Plate) -> tuple[Points, Points | None]:
    """Outlines of the shaft and of the epiphysis; None before it ossifies and after it has fused."""
    along = np.array([-0.60, -0.625, -0.66, -0.72, -0.8, -0.92, -1.1, -1.35, -1.8, -2.6, -4.0])
    half = np.array([0.12, 0.225, 0.245, 0.245, 0.222, 0.185, 0.155, 0.14, 0.135, 0.135, 0.14])
    centre = np.array([0.08, 0.05, 0.045, 0.045, 0.05, 0.055, 0.06, 0.05, 0.03, 0.0, -0.05])
    if plate.gap == 0.0:
        shaft = _shaft(centre, half, along)
        styloid = np.array([[0.2, -0.565], [0.285, -0.53], [0.3, -0.58]])
        dish = np.array([[-0.17, -0.61], [-0.08, -0.585], [0.02, -0.585], [0.12, -0.575]])
        return np.concatenate([dish, styloid, shaft[2:-2]]), None
    drop = 0.006 + 1.2 * plate.gap
    top = -0.63 - drop
    shaft = _shaft(centre[2:], half[2:], np.minimum(along[2:], top - 0.02 * np.arange(9)))
    lid = np.stack([np.linspace(-0.13, 0.22, 7), top + 0.02 * np.cos(np.linspace(-1.2, 1.2, 7))], axis=1)
    shaft = np.concatenate([lid, shaft])
    if plate.size == 0.0:
        return _rounded(shaft), None
    wedge = np.array([[-0.2, -0.62], [-0.1, -0.58], [0.05, -0.565], [0.2, -0.52], [0.3, -0.485],
                      [0.315, -0.59], [0.27, -0.64], [0.05, -0.65], [-0.19, -0.655]])  # fmt: skip
    middle = np.array([0.06, -0.605])
    return _rounded(shaft), _rounded(middle + plate.size * (wedge - middle))


def _ulna(plate: Plate) -> tuple[Points, Points | None]:
    along = np.array([-0.64, -0.665, -0.7, -0.76, -0.85, -1.0, -1.25, -1.8, -2.6, -4.0])
    half = np.array([0.07, 0.1, 0.112, 0.11, 0.098, 0.088, 0.088, 0.095, 0.1, 0.11])
    centre = np.array([-0.37, -0.37, -0.37, -0.37, -0.37, -0.36, -0.345, -0.33, -0.32, -0.3])
    if plate.gap == 0.0:
        shaft = _shaft(centre, half, along)
        styloid = np.array([[-0.48, -0.62], [-0.47, -0.555], [-0.435, -0.56], [-0.42, -0.63]])
        return np.concatenate([styloid, shaft[:-2]]), None
    drop = 0.02 + 1.6 * plate.gap
    shaft = _shaft(centre[1:], half[1:], along[1:] - drop)
    if plate.size == 0.0:
        return _rounded(shaft), None
    wedge = np.array([[-0.48, -0.56], [-0.43, -0.585], [-0.36, -0.635], [-0.275, -0.63], [-0.265, -0.68],
                      [-0.36, -0.705], [-0.46, -0.69]])  # fmt: skip
    middle = np.array([-0.37, -0.655])
    return _rounded(shaft), _rounded(middle + plate.size * (wedge - middle))


def _rounded(corners: Points) -> Points:
    """The polygon after two rounds of corner cutting (Chaikin)."""
    for _ in range(2):
        after = np.roll(corners, -1, axis=0)
        corners = np.stack([0.75 * corners + 0.25 * after, 0.25 * corners + 0.75 * after], axis=1).reshape(
            -1, 2
        )
    return corners
