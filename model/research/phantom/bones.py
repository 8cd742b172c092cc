"""The 19 labelled bones: numbers, proportions and outlines.

Lengths are in units of the third metacarpal's length; proportions are means of nine real hands
(docs/phantom.md). In the frame of a bone, `t` is the position along the axis as a share of the bone's length,
0 at the base and 1 at the distal end, and `w` is the position across it. Outlines are polygons of (w, along)
in lengths of the third metacarpal.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


class BoneKind(Enum):
    """Kinds of bones; bones of one kind have the same shape and growth."""

    THUMB_METACARPAL = auto()
    METACARPAL = auto()
    THUMB_PROXIMAL = auto()
    PROXIMAL = auto()
    MIDDLE = auto()
    THUMB_DISTAL = auto()
    DISTAL = auto()


@dataclass(frozen=True)
class Bone:
    """One labelled bone.

    Attributes:
        number: 1 to 19.
        ray: 1 (thumb) to 5.
        kind: kind of bone.
        length: in lengths of the third metacarpal.
        stoutness: width relative to its kind.
    """

    number: int
    ray: int
    kind: BoneKind
    length: float
    stoutness: float = 1.0


BONES: tuple[Bone, ...] = (
    Bone(1, 1, BoneKind.THUMB_METACARPAL, 0.687),
    Bone(2, 2, BoneKind.METACARPAL, 1.052, 0.95),
    Bone(3, 3, BoneKind.METACARPAL, 1.0, 1.0),
    Bone(4, 4, BoneKind.METACARPAL, 0.893, 0.96),
    Bone(5, 5, BoneKind.METACARPAL, 0.816, 1.2),
    Bone(6, 1, BoneKind.THUMB_PROXIMAL, 0.484, 0.97),
    Bone(7, 2, BoneKind.PROXIMAL, 0.643, 1.03),
    Bone(8, 3, BoneKind.PROXIMAL, 0.711, 0.97),
    Bone(9, 4, BoneKind.PROXIMAL, 0.662, 0.9),
    Bone(10, 5, BoneKind.PROXIMAL, 0.527, 0.95),
    Bone(11, 2, BoneKind.MIDDLE, 0.357, 1.04),
    Bone(12, 3, BoneKind.MIDDLE, 0.439, 0.94),
    Bone(13, 4, BoneKind.MIDDLE, 0.417, 0.89),
    Bone(14, 5, BoneKind.MIDDLE, 0.292, 1.0),
    Bone(15, 1, BoneKind.THUMB_DISTAL, 0.344),
    Bone(16, 2, BoneKind.DISTAL, 0.254, 1.04),
    Bone(17, 3, BoneKind.DISTAL, 0.277, 1.02),
    Bone(18, 4, BoneKind.DISTAL, 0.283, 0.98),
    Bone(19, 5, BoneKind.DISTAL, 0.247, 0.84),
)

# Positions `t` along the bone at which the widths of _WIDTHS were measured.
_STATIONS = (0.03, 0.11, 0.19, 0.265, 0.345, 0.42, 0.5, 0.58, 0.655, 0.735, 0.81, 0.89, 0.97)

# Full width as a share of the length at the stations: of an infant's and of an adult's bone.
_WIDTHS: dict[BoneKind, tuple[tuple[float, ...], tuple[float, ...]]] = {
    BoneKind.THUMB_METACARPAL: (
        (0.34, 0.38, 0.38, 0.365, 0.345, 0.33, 0.326, 0.328, 0.343, 0.374, 0.392, 0.37, 0.29),
        (0.29, 0.32, 0.31, 0.275, 0.25, 0.237, 0.232, 0.237, 0.252, 0.285, 0.318, 0.325, 0.25),
    ),
    BoneKind.METACARPAL: (
        (0.19, 0.22, 0.205, 0.184, 0.165, 0.155, 0.155, 0.166, 0.182, 0.2, 0.215, 0.2, 0.15),
        (0.185, 0.207, 0.187, 0.15, 0.128, 0.119, 0.12, 0.128, 0.145, 0.172, 0.204, 0.212, 0.172),
    ),
    BoneKind.THUMB_PROXIMAL: (
        (0.4, 0.45, 0.448, 0.413, 0.381, 0.353, 0.338, 0.333, 0.342, 0.37, 0.393, 0.375, 0.27),
        (0.42, 0.45, 0.4, 0.355, 0.31, 0.285, 0.268, 0.26, 0.264, 0.292, 0.343, 0.352, 0.29),
    ),
    BoneKind.PROXIMAL: (
        (0.34, 0.375, 0.36, 0.326, 0.295, 0.275, 0.263, 0.263, 0.27, 0.285, 0.295, 0.28, 0.21),
        (0.355, 0.38, 0.33, 0.28, 0.243, 0.226, 0.215, 0.21, 0.216, 0.228, 0.254, 0.27, 0.23),
    ),
    BoneKind.MIDDLE: (
        (0.47, 0.54, 0.545, 0.515, 0.47, 0.437, 0.415, 0.403, 0.41, 0.425, 0.43, 0.4, 0.29),
        (0.42, 0.475, 0.455, 0.42, 0.38, 0.35, 0.33, 0.32, 0.318, 0.332, 0.365, 0.385, 0.32),
    ),
    BoneKind.THUMB_DISTAL: (
        (0.36, 0.42, 0.43, 0.42, 0.4, 0.369, 0.345, 0.32, 0.305, 0.3, 0.29, 0.26, 0.18),
        (0.4, 0.485, 0.435, 0.38, 0.34, 0.3, 0.275, 0.265, 0.265, 0.275, 0.28, 0.26, 0.18),
    ),
    BoneKind.DISTAL: (
        (0.41, 0.46, 0.47, 0.455, 0.42, 0.38, 0.352, 0.335, 0.33, 0.335, 0.34, 0.32, 0.22),
        (0.43, 0.52, 0.475, 0.42, 0.365, 0.315, 0.295, 0.285, 0.3, 0.335, 0.36, 0.35, 0.235),
    ),
}


@dataclass(frozen=True)
class Ends:
    """Shape of a bone's two ends.

    Attributes:
        base, head: height of the rounding as a share of the end's half width.
        square_base, square_head: superellipse exponent of the rounding.
        hollow_base, hollow_head: how far the middle of the joint surface is hollow (negative) or domed
            (positive), in half widths.
    """

    base: float
    head: float
    square_base: float
    square_head: float
    hollow_base: float
    hollow_head: float


_ENDS: dict[BoneKind, Ends] = {
    BoneKind.THUMB_METACARPAL: Ends(0.35, 0.65, 2.6, 2.2, -0.1, 0.0),
    BoneKind.METACARPAL: Ends(0.4, 0.9, 3.0, 2.2, -0.05, 0.0),
    BoneKind.THUMB_PROXIMAL: Ends(0.3, 0.55, 2.4, 2.6, -0.12, -0.12),
    BoneKind.PROXIMAL: Ends(0.3, 0.6, 2.4, 2.6, -0.12, -0.16),
    BoneKind.MIDDLE: Ends(0.28, 0.5, 2.4, 2.6, 0.03, -0.16),
    BoneKind.THUMB_DISTAL: Ends(0.28, 1.2, 2.4, 2.0, 0.04, 0.0),
    BoneKind.DISTAL: Ends(0.28, 0.9, 2.4, 2.2, 0.04, 0.0),
}


def distal_epiphysis(kind: BoneKind) -> bool:
    """Whether a kind of bone grows at the head, as metacarpals 2 to 5 do; all others grow at the base."""
    return kind is BoneKind.METACARPAL


def epiphysis_height(kind: BoneKind) -> float:
    """Height of the ossified epiphysis as a share of the bone's length."""
    heights = {
        BoneKind.METACARPAL: 0.15,
        BoneKind.THUMB_METACARPAL: 0.11,
        BoneKind.PROXIMAL: 0.085,
        BoneKind.THUMB_PROXIMAL: 0.1,
    }
    return heights.get(kind, 0.115)


@dataclass(frozen=True)
class Profile:
    """Shape of one person's bone.

    Attributes:
        t: (n,) positions along the axis, from 0 to 1.
        left, right: (n,) half widths on either side of the axis, in lengths of the third metacarpal.
        bow: largest sideways bend of the axis, as a share of `length`.
        length: in lengths of the third metacarpal.
        ends: shape of the ends.
    """

    t: Points
    left: Points
    right: Points
    bow: float
    length: float
    ends: Ends

    def half_width(self, t: NDArray[np.floating]) -> Points:
        """Mean half width at the positions `t` (any shape), in lengths of the third metacarpal."""
        return np.asarray(np.interp(t, self.t, 0.5 * (self.left + self.right)), dtype=np.float64)

    def middle(self, t: NDArray[np.floating]) -> Points:
        """Position `w` of the middle between both sides at the positions `t` (any shape)."""
        bowed = self.bow * self.length * np.sin(np.pi * np.clip(t, 0.0, 1.0))
        return np.asarray(bowed + np.interp(t, self.t, 0.5 * (self.right - self.left)), dtype=np.float64)

    def outline(self, start: float = 0.0, stop: float = 1.0, width: float = 1.0) -> Points:
        """Closed polygon (N, 2) of (w, along), in lengths of the third metacarpal, of a part of the bone.

        Args:
            start, stop: ends of the part, as shares of the length. An end inside the bone (start > 0 or
                stop < 1) is nearly flat, like a metaphysis.
            width: factor on the width.
        """
        along = start + (stop - start) * 0.5 * (1.0 - np.cos(np.linspace(0.0, np.pi, 61)))
        bottom = float(self.half_width(np.array(start + 0.1 * (stop - start)))) * width / self.length
        top = float(self.half_width(np.array(stop - 0.1 * (stop - start)))) * width / self.length
        ends = self.ends
        base, square_base, hollow_base = (
            (ends.base, ends.square_base, ends.hollow_base) if start == 0.0 else (0.12, 2.6, 0.03)
        )
        head, square_head, hollow_head = (
            (ends.head, ends.square_head, ends.hollow_head) if stop == 1.0 else (0.12, 2.6, 0.03)
        )
        room = 0.5 * (stop - start)
        cap = _cap((along - start) / min(room, base * bottom), square_base)
        cap = cap * _cap((stop - along) / min(room, head * top), square_head)
        sides = []
        for half, sign in ((self.left, -1.0), (self.right, 1.0)):
            w = np.interp(along, self.t, half) * width * cap
            shift = hollow_head * top * _near((stop - along) / top) * (1.0 - (w / (top * self.length)) ** 2)
            shift = shift - hollow_base * bottom * _near((along - start) / bottom) * (
                1.0 - (w / (bottom * self.length)) ** 2
            )
            bowed = self.bow * self.length * np.sin(np.pi * np.clip(along, 0.0, 1.0))
            sides.append(np.stack([bowed + sign * w, (along + shift) * self.length], axis=1))
        return np.concatenate([sides[1], sides[0][::-1]])


def _cap(distance: Points, exponent: float) -> Points:
    """Superelliptic rounding: 0 at the end itself, 1 at distances of at least the rounding height (1)."""
    inside = np.clip(1.0 - distance, 0.0, 1.0)
    return np.asarray((1.0 - inside**exponent) ** (1.0 / exponent))


def _near(distance: Points) -> Points:
    """1 at an end, decreasing to 0 within half of its half width (distance 0.5)."""
    return np.clip(1.0 - 2.0 * distance, 0.0, 1.0)


def shape(bone: Bone, adulthood: float, rng: np.random.Generator) -> Profile:
    """Draw a person's shape of `bone`; `adulthood` in [0, 1] goes from infant to adult proportions."""
    child, adult = np.array(_WIDTHS[bone.kind])
    t: Points = np.linspace(0.0, 1.0, 81, dtype=np.float64)
    widths = _smooth(t, (1.0 - adulthood) * child + adulthood * adult)
    length = bone.length * float(np.clip(rng.normal(1.0, 0.02), 0.94, 1.06))
    half = 0.5 * bone.length * bone.stoutness * widths * rng.normal(1.0, 0.025)
    tilt = rng.normal(0.0, 0.02) * np.cos(2.0 * np.pi * t + rng.uniform(0.0, 2.0 * np.pi))
    bow = rng.normal(0.0, 0.006) + (0.012 if bone.kind is BoneKind.THUMB_METACARPAL else 0.0)
    return Profile(t, half * (1.0 + tilt), half * (1.0 - tilt), bow, length, _ENDS[bone.kind])


def _smooth(t: Points, widths: Points) -> Points:
    """Widths at `t`, interpolated from those at `_STATIONS` and smoothed."""
    dense = np.interp(t, _STATIONS, widths)
    kernel = np.array([1.0, 2.0, 3.0, 2.0, 1.0]) / 9.0
    return np.asarray(np.convolve(np.pad(dense, 2, mode="edge"), kernel, mode="valid"), dtype=np.float64)
