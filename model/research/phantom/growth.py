"""Growth: how far a hand's skeleton has matured at one of the 19 years of age (0 to 18).

The ages at which ossification centres appear and growth plates close are rounded textbook values (Greulich
and Pyle), moved as a whole by a person's own tempo: girls are early, boys are late, everybody differs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from model.research.phantom.bones import Kind

AGES = range(19)
"""Year-of-age groups, 0 to 18."""

# Years (appears, as wide as its shaft, plate closes) of the epiphysis of each kind of bone.
_EPIPHYSES: dict[Kind, tuple[float, float, float]] = {
    Kind.THUMB_METACARPAL: (1.9, 7.5, 14.8),
    Kind.METACARPAL: (1.4, 9.0, 15.8),
    Kind.THUMB_PROXIMAL: (1.8, 7.0, 15.0),
    Kind.PROXIMAL: (1.0, 7.0, 15.3),
    Kind.MIDDLE: (1.7, 7.5, 15.4),
    Kind.THUMB_DISTAL: (1.2, 7.0, 14.2),
    Kind.DISTAL: (2.0, 7.5, 14.2),
}
_RADIUS = (0.9, 8.5, 17.4)
_ULNA = (6.0, 10.5, 17.0)

# Years (appears, full adult outline) of the carpal bones, in the order in which they are drawn.
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

# Year and length of the third metacarpal as a share of the adult's.
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

    `size` is the epiphysis' width as a share of the shaft's end (0: not ossified yet, 1: as wide). `gap` is
    the height of the cartilage between them as a share of the bone's length (0: fused). `scar` in [0, 1] is
    how clearly the line of a plate that has just closed still shows."""

    size: float
    gap: float
    scar: float


@dataclass(frozen=True)
class Growth:
    """Skeletal maturity of one person: `maturity` is the bone age in years, `stature` the share of adult
    size."""

    maturity: float
    stature: float

    @property
    def adulthood(self) -> float:
        """0 for an infant's stubby shafts, 1 for an adult's slender ones."""
        return float(np.clip((self.maturity - 1.0) / 8.0, 0.0, 1.0))

    @property
    def chubbiness(self) -> float:
        """1 for an infant's padded fingers, 0 from about ten years on."""
        return float(np.clip(1.0 - self.maturity / 9.0, 0.0, 1.0))

    def plate(self, kind: Kind) -> Plate:
        """Growth plate of one of the 19 labelled bones."""
        return self._plate(_EPIPHYSES[kind])

    @property
    def radius(self) -> Plate:
        """Growth plate at the wrist's end of the radius."""
        return self._plate(_RADIUS)

    @property
    def ulna(self) -> Plate:
        """Growth plate at the wrist's end of the ulna."""
        return self._plate(_ULNA)

    def carpals(self) -> dict[str, float]:
        """Size of each carpal that has begun to ossify, as a share of its adult outline."""
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
    """Maturity of one person of `age` years (0 to 18): somewhere in that year, with a sex and a tempo of
    their own."""
    years = age + rng.uniform(0.0, 1.0)
    tempo = rng.choice((-0.05, 0.07)) + rng.normal(0.0, 0.035)
    maturity = float(max(0.05, years * (1.0 + tempo)))
    ages, shares = np.array(_STATURE).T
    return Growth(maturity=maturity, stature=float(np.interp(maturity, ages, shares)))
