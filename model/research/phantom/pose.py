"""Pose: the position of each bone in the hand, and of the hand in the image.

The frame of the hand has the base of the third metacarpal as its origin and its length as unit; y points
along it towards the fingers, x towards the thumb. Angles are in degrees from y, positive towards the thumb.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.research.phantom.bones import BONES, Bone, Points, Profile, shape
from model.research.phantom.growth import Growth

# By ray: base and angle of the metacarpal, resting angles of the phalanges, their angle per unit of spread.
_METACARPAL_BASES = ((0.455, -0.17), (0.215, -0.05), (0.0, 0.0), (-0.19, -0.02), (-0.37, -0.075))
_METACARPAL_ANGLES = (38.0, 10.5, 0.0, -8.3, -19.0)
_FINGER_ANGLES = ((34.0, 36.0), (9.0, 9.5, 8.0), (0.0, 0.0, -1.0), (-10.0, -8.5, -7.0), (-29.0, -26.0, -20.0))
_SPREAD = (5.0, 8.5, 1.0, -6.5, -12.0)
# Gap between two bones at the knuckle and at the joints within a finger.
_KNUCKLE_GAP = 0.04
_JOINT_GAP = 0.026


@dataclass(frozen=True)
class PlacedBone:
    """A bone in the frame of the hand.

    Attributes:
        bone: which bone.
        profile: its shape.
        base: (2,) proximal end.
        angle: direction from base to head, in degrees.
        foreshortening: visible share of the length; 1 if the bone is parallel to the film.
    """

    bone: Bone
    profile: Profile
    base: Points
    angle: float
    foreshortening: float

    @property
    def axis(self) -> Points:
        """Unit vector (2,) from base to head."""
        a = np.radians(self.angle)
        return np.array([np.sin(a), np.cos(a)])

    @property
    def length(self) -> float:
        """Visible length, in lengths of the third metacarpal."""
        return self.profile.length * self.foreshortening

    @property
    def head(self) -> Points:
        """The distal end (2,)."""
        return np.asarray(self.base + self.length * self.axis)

    def to_hand(self, local: Points) -> Points:
        """Transform points (N, 2) from the frame of the bone (w, along) to that of the hand (x, y)."""
        axis = self.axis
        across = np.array([axis[1], -axis[0]])
        return np.asarray(self.base + local[:, :1] * across + self.foreshortening * local[:, 1:] * axis)


@dataclass(frozen=True)
class View:
    """Transformation from the frame of the hand to the image.

    Attributes:
        scale: length of the third metacarpal in pixels.
        angle: rotation in degrees, clockwise.
        origin: (x, y) of the frame's origin in pixels.
        mirror: whether the hand is mirrored left to right.
    """

    scale: float
    angle: float
    origin: tuple[float, float]
    mirror: bool

    def to_picture(self, points: Points) -> Points:
        """Transform points (N, 2) of the hand to (x, y) pixels; pixel centres have integer coordinates."""
        a = np.radians(self.angle)
        x = points[:, 0] * np.cos(a) + points[:, 1] * np.sin(a)
        y = points[:, 0] * np.sin(a) - points[:, 1] * np.cos(a)
        x = -x if self.mirror else x
        return np.stack([self.origin[0] + self.scale * x, self.origin[1] + self.scale * y], axis=1)

    def zoomed(self, factor: float) -> View:
        """The same view at `factor` times the resolution."""
        x, y = ((v + 0.5) * factor - 0.5 for v in self.origin)
        return View(self.scale * factor, self.angle, (x, y), self.mirror)

    def on_film(self, corner: tuple[float, float], turn: float) -> View:
        """The view in a larger image that contains the film.

        Args:
            corner: (x, y) of the film's top left corner in pixels.
            turn: rotation of the film in degrees, clockwise.
        """
        a = np.radians(turn)
        x, y = self.origin
        moved = (corner[0] + x * np.cos(a) - y * np.sin(a), corner[1] + x * np.sin(a) + y * np.cos(a))
        angle = self.angle + (-turn if self.mirror else turn)
        return View(self.scale, angle, (float(moved[0]), float(moved[1])), self.mirror)


@dataclass(frozen=True)
class _Ray:
    """One finger with its metacarpal, before its bones are placed."""

    bones: list[Bone]
    profiles: list[Profile]
    base: Points
    angles: list[float]
    foreshortening: list[float]


def pose_hand(growth: Growth, rng: np.random.Generator) -> list[PlacedBone]:
    """Draw the pose of a person's 19 bones: ray by ray from base to tip, thumb first.

    Spread and flexion are random. Fingers that would overlap are spread until they do not, as a radiographer
    would request.
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


def _lay_out(ray: _Ray, fan: float, growth: Growth) -> list[PlacedBone]:
    """Place the bones of a ray in the hand, with the phalanges turned by `fan` degrees."""
    base, laid = ray.base, []
    for place, (bone, profile) in enumerate(zip(ray.bones, ray.profiles, strict=True)):
        angle = ray.angles[place] + (fan if place else 0.0)
        here = PlacedBone(bone, profile, base, angle, ray.foreshortening[place])
        laid.append(here)
        gap = (_KNUCKLE_GAP if place == 0 else _JOINT_GAP) * (1.0 + 0.3 * growth.chubbiness)
        gap -= 1.2 * (1.0 - here.foreshortening) * float(profile.half_width(np.array(1.0)))
        base = here.head + gap * here.axis
    return laid


def _clearance(one: list[PlacedBone], other: list[PlacedBone]) -> float:
    """Smallest distance between the axes of two fingers, beyond their webs."""
    steps = np.linspace(0.0, 1.0, 8)[:, None]
    near, far = (
        np.concatenate([p.base + steps * (p.head - p.base) for p in ray[1:]])[4:] for ray in (one, other)
    )
    return float(np.hypot(*(near[:, None] - far[None]).transpose(2, 0, 1)).min())


def frame_hand(
    bones: list[PlacedBone], growth: Growth, size: tuple[int, int], rng: np.random.Generator
) -> View:
    """Draw a view that keeps every labelled bone inside an image of `size` (width, height), the hand roughly
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
