"""Growth: skeletal maturity of a hand at an age of 0 to 18 years.

The ages at which ossification centres appear and growth plates close are rounded textbook values (Greulich
and Pyle). A person's tempo scales all of them: girls mature earlier than boys, and individuals vary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.research.phantom.bones import BoneKind

AGES = range(19)
"""The 19 age groups, in years."""

# Bone age in years at which the epiphysis appears, is as wide as its shaft, and fuses.
_EPIPHYSES: dict[BoneKind, tuple[float, float, float]] = {
    BoneKind.THUMB_METACARPAL: (1.9, 7.5, 14.8),
    BoneKind.METACARPAL: (1.4, 9.0, 15.8),
    BoneKind.THUMB_PROXIMAL: (1.8, 7.0, 15.0),
    BoneKind.PROXIMAL: (1.0, 7.0, 15.3),
    BoneKind.MIDDLE: (1.7, 7.5, 15.4),
    BoneKind.THUMB_DISTAL: (1.2, 7.0, 14.2),
    BoneKind.DISTAL: (2.0, 7.5, 14.2),
}
_RADIUS = (0.9, 8.5, 17.4)
_ULNA = (6.0, 10.5, 17.0)

# Bone age in years at which each carpal appears and has its adult outline, in drawing order.
_CARPALS: dict[str, tuple[float, float]] = {
    "lunate": (3.2, 13.0),
    "scaphoid": (5.0, 13.5),
    "triquetrum": (2.2, 13.0),
    "pisiform": (10.0, 14.0),
    "trapezium": (4.5, 13.0),
    "trapezoid": (5.0, 12.5),
    "hamate": (0.15, 12.5),
    "capitate": (0.1, 12.5),
}

# Bone age in years, and length of the third metacarpal as a share of the adult's.
_STATURE = (
    (0.0, 0.34),
    (1.0, 0.45),
    (2.0, 0.52),
    (4.0, 0.61),
    (8.0, 0.74),
    (12.0, 0.87),
    (15.0, 0.97),
    (18.0, 1.0),
)


@dataclass(frozen=True)
class Plate:
    """State of one growth plate.

    Attributes:
        size: width of the epiphysis as a share of the shaft's end; 0 before it ossifies.
        gap: height of the cartilage between epiphysis and shaft as a share of the bone's length; 0 if fused.
        scar: visibility in [0, 1] of the line that a recently closed plate leaves.
    """

    size: float
    gap: float
    scar: float


@dataclass(frozen=True)
class Growth:
    """Skeletal maturity of one person.

    Attributes:
        maturity: bone age in years.
        stature: size as a share of the adult's.
    """

    maturity: float
    stature: float

    @property
    def adulthood(self) -> float:
        """Proportions of the shafts: 0 for an infant's short and wide ones, 1 for an adult's slender ones."""
        return float(np.clip((self.maturity - 1.0) / 8.0, 0.0, 1.0))

    @property
    def chubbiness(self) -> float:
        """Fat under the skin: 1 for an infant's fingers, 0 from a bone age of nine years on."""
        return float(np.clip(1.0 - self.maturity / 9.0, 0.0, 1.0))

    def plate(self, kind: BoneKind) -> Plate:
        """Growth plate of one of the 19 labelled bones."""
        return self._plate(_EPIPHYSES[kind])

    @property
    def radius(self) -> Plate:
        """Distal growth plate of the radius."""
        return self._plate(_RADIUS)

    @property
    def ulna(self) -> Plate:
        """Distal growth plate of the ulna."""
        return self._plate(_ULNA)

    def carpals(self) -> dict[str, float]:
        """Size of each carpal that has begun to ossify, as a share of its adult size, by name."""
        sizes = {}
        for name, (appears, full) in _CARPALS.items():
            if self.maturity > appears:
                share = min(1.0, (self.maturity - appears) / (full - appears))
                sizes[name] = 0.28 + 0.72 * share**0.62
        return sizes

    def _plate(self, years: tuple[float, float, float]) -> Plate:
        appears, full, closes = years
        if self.maturity <= appears:
            size = 0.0
        else:
            size = 0.25 + 0.75 * min(1.0, (self.maturity - appears) / (full - appears)) ** 0.6
        youth = float(np.clip((closes - self.maturity) / closes, 0.0, 1.0))
        gap = 0.0 if self.maturity >= closes else 0.006 + 0.06 * youth**2.2
        scar = float(np.clip(1.0 - abs(self.maturity - closes) / 2.5, 0.0, 1.0))
        return Plate(size=size, gap=gap, scar=scar)


def grow(age: int, rng: np.random.Generator) -> Growth:
    """Draw the maturity of a person of `age` (0 to 18 years): a time within that year, a sex and a tempo."""
    years = age + rng.uniform(0.0, 1.0)
    tempo = rng.choice((-0.05, 0.07)) + rng.normal(0.0, 0.035)
    maturity = float(max(0.05, years * (1.0 + tempo)))
    ages, shares = np.array(_STATURE).T
    return Growth(maturity=maturity, stature=float(np.interp(maturity, ages, shares)))
