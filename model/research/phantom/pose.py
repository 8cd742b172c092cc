"""Pose: where each bone lies in the hand, and where the hand lies in the picture.

The hand's own frame counts in lengths of the third metacarpal: the origin is its base, y runs along it
towards the fingers, x towards the thumb. Angles are degrees away from y, positive towards the thumb."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.research.phantom.bones import BONES, Bone, Points, Profile, shape
from model.research.phantom.growth import Growth

# Base of each metacarpal, its angle, the resting angles of its phalanges, how much each follows the spread.
_METACARPAL_BASES = ((0.455, -0.17), (0.215, -0.05), (0.0, 0.0), (-0.19, -0.02), (-0.37, -0.075))
_METACARPAL_ANGLES = (38.0, 10.5, 0.0, -8.3, -19.0)
_FINGER_ANGLES = ((34.0, 36.0), (9.0, 9.5, 8.0), (0.0, 0.0, -1.0), (-10.0, -8.5, -7.0), (-29.0, -26.0, -20.0))
_SPREAD = (5.0, 8.5, 1.0, -6.5, -12.0)
# Space between two bones' ends at the knuckle and at the joints within the finger.
_KNUCKLE_GAP = 0.04
_JOINT_GAP = 0.026


@dataclass(frozen=True)
class Placed:
    """A bone in the hand: base point, angle, and how much flexion foreshortens it (1: lies flat)."""

    bone: Bone
    profile: Profile
    base: Points
    angle: float
    foreshortening: float

    @property
    def axis(self) -> Points:
        """Unit vector from base to head."""
        a = np.radians(self.angle)
        return np.array([np.sin(a), np.cos(a)])

    @property
    def length(self) -> float:
        """Visible length."""
        return self.profile.length * self.foreshortening

    @property
    def head(self) -> Points:
        """The distal end."""
        return np.asarray(self.base + self.length * self.axis)

    def to_hand(self, local: Points) -> Points:
        """(N, 2) points of the bone's frame (w, along) in the hand's frame."""
        axis = self.axis
        across = np.array([axis[1], -axis[0]])
        return np.asarray(self.base + local[:, :1] * across + self.foreshortening * local[:, 1:] * axis)


@dataclass(frozen=True)
class View:
    """From the hand's frame to the picture: pixels per third metacarpal, turn (degrees, clockwise), origin,
    mirror."""

    scale: float
    angle: float
    origin: tuple[float, float]
    mirror: bool

    def to_picture(self, points: Points) -> Points:
        """(N, 2) hand points as (x, y) pixels; pixel centres are whole numbers."""
        a = np.radians(self.angle)
        x = points[:, 0] * np.cos(a) + points[:, 1] * np.sin(a)
        y = points[:, 0] * np.sin(a) - points[:, 1] * np.cos(a)
        x = -x if self.mirror else x
        return np.stack([self.origin[0] + self.scale * x, self.origin[1] + self.scale * y], axis=1)

    def zoomed(self, factor: float) -> View:
        """The same view of the same picture at another resolution."""
        x, y = ((v + 0.5) * factor - 0.5 for v in self.origin)
        return View(self.scale * factor, self.angle, (x, y), self.mirror)

    def on_film(self, corner: tuple[float, float], turn: float) -> View:
        """The view when the film itself lies in a larger picture: its top left `corner`, its `turn` in
        degrees."""
        a = np.radians(turn)
        x, y = self.origin
        moved = (corner[0] + x * np.cos(a) - y * np.sin(a), corner[1] + x * np.sin(a) + y * np.cos(a))
        angle = self.angle + (-turn if self.mirror else turn)
        return View(self.scale, angle, (float(moved[0]), float(moved[1])), self.mirror)


@dataclass(frozen=True)
class _Ray:
    """One finger with its metacarpal before it is laid out: its bones' shapes, angles and foreshortening."""

    bones: list[Bone]
    profiles: list[Profile]
    base: Points
    angles: list[float]
    foreshortening: list[float]


def pose_hand(growth: Growth, rng: np.random.Generator) -> list[Placed]:
    """All 19 bones of one person, ray by ray from base to tip, thumb first, with their own spread and
    flexion.

    Fingers that would lie over one another are spread until they do not, as a radiographer would ask for.
    """
    sway = rng.normal(0.0, 2.5)
    bent = rng.uniform() < 0.1 + 0.25 * growth.chubbiness
    rays = [_draw_ray(number, growth, bent, sway, rng) for number in range(1, 6)]
    spread = float(np.clip(rng.normal(0.1, 0.7), -1.0, 1.6))
    apart = 0.32 * (1.0 + 0.3 * growth.chubbiness)
    while True:
        laid = [_lay_out(ray, spread * _SPREAD[i], growth) for i, ray in enumerate(rays)]
        if spread > 2.0 or all(_clearance(laid[i], laid[i + 1]) > apart for i in range(1, 4)):
            return [placed for ray in laid for placed in ray]
        spread += 0.15


def _draw_ray(number: int, growth: Growth, bent: bool, sway: float, rng: np.random.Generator) -> _Ray:
    bones = [bone for bone in BONES if bone.ray == number]
    flexion = np.abs(rng.normal(0.0, 24.0 if bent else 8.0)) * np.array([0.0, 0.8, 1.0, 1.0])
    lead = rng.normal(0.0, 5.0) if number == 1 else 0.0
    lean = 1.2 * lead if number == 1 else sway + rng.normal(0.0, 1.5)
    angles = [_METACARPAL_ANGLES[number - 1] + lead + rng.normal(0.0, 0.8)]
    angles += [resting + lean + rng.normal(0.0, 1.5) for resting in _FINGER_ANGLES[number - 1]]
    profiles = [shape(bone, growth.adulthood, rng) for bone in bones]
    base = np.array(_METACARPAL_BASES[number - 1]) + rng.normal(0.0, 0.008, 2)
    return _Ray(bones, profiles, base, angles, [float(np.cos(np.radians(min(50.0, f)))) for f in flexion])


def _lay_out(ray: _Ray, fan: float, growth: Growth) -> list[Placed]:
    """The ray's bones in the hand, its phalanges turned by `fan` degrees."""
    base, laid = ray.base, []
    for place, (bone, profile) in enumerate(zip(ray.bones, ray.profiles, strict=True)):
        angle = ray.angles[place] + (fan if place else 0.0)
        here = Placed(bone, profile, base, angle, ray.foreshortening[place])
        laid.append(here)
        gap = (_KNUCKLE_GAP if place == 0 else _JOINT_GAP) * (1.0 + 0.3 * growth.chubbiness)
        gap -= 1.2 * (1.0 - here.foreshortening) * float(profile.half_width(np.array(1.0)))
        base = here.head + gap * here.axis
    return laid


def _clearance(one: list[Placed], other: list[Placed]) -> float:
    """Least distance between the axes of two fingers, beyond their webs."""
    steps = np.linspace(0.0, 1.0, 8)[:, None]
    near, far = (
        np.concatenate([p.base + steps * (p.head - p.base) for p in ray[1:]])[4:] for ray in (one, other)
    )
    return float(np.hypot(*(near[:, None] - far[None]).transpose(2, 0, 1)).min())


def frame_hand(bones: list[Placed], growth: Growth, size: tuple[int, int], rng: np.random.Generator) -> View:
    """A view that keeps every labelled bone inside a picture of `size` (width, height), hand about
    upright."""
    width, height = size
    mirror = bool(rng.uniform() < 0.12)
    share = rng.normal(0.242, 0.018) * (0.80 + 0.20 * growth.stature)
    view = View(share * height, rng.normal(0.0, 5.0), (0.0, 0.0), mirror)
    ends = np.concatenate([[bone.base, bone.head + 0.12 * bone.axis] for bone in bones])
    ends = np.concatenate([ends, [[-0.55, -0.45], [0.35, -0.45]]])
    spot = view.to_picture(ends)
    extent = np.ptp(spot, axis=0)
    fit = min(1.0, 0.93 * width / extent[0], 0.92 * height / extent[1])
    spot, extent = spot * fit, extent * fit
    free = np.array([width, height]) - extent
    across = free[0] * np.clip(rng.normal(0.42 if mirror else 0.58, 0.13), 0.1, 0.9)
    down = min(free[1] * rng.uniform(0.12, 0.7), free[1] - 0.03 * height)
    x, y = np.array([across, down]) - spot.min(axis=0)
    return View(view.scale * fit, view.angle, (float(x), float(y)), mirror)
