"""Styles: the ways in which real hands were exposed, read out and filed, and how often each occurs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Look = Literal["clear", "removed", "dark", "bright", "film", "frame"]
Range = tuple[float, float]


@dataclass(frozen=True)
class Style:
    """How one picture was exposed and read out.

    Grey levels 0..255: `background` of bare film and `ceiling` of the densest bone; `gamma` bends the curve
    between them; `mineral` is how much bone absorbs beside flesh; `local` the strength of the reader's local
    contrast, `sharpening` that of its edge enhancement; `glow` lifts the film around the hand. A "removed"
    background is black outside the skin. In a "frame" the whole film lies turned by `turned` degrees in a
    surround of level `outside`; `border` is the level of collimated margins. None: there is no such thing.
    """

    look: Look
    background: float
    ceiling: float
    gamma: float
    mineral: float
    local: float
    glow: float
    noise: float
    sharpening: float
    turned: float | None = None
    outside: float = 0.0
    border: float | None = None

    @property
    def marked(self) -> bool:
        """Whether a lead marker lies on the film."""
        return self.look not in ("removed", "film")


@dataclass(frozen=True)
class _Habit:
    """Ranges from which a look draws; `share` is how often it occurs, `span` the ceiling above the
    background."""

    share: float
    background: Range
    span: Range
    gamma: Range
    mineral: Range
    local: Range
    glow: Range
    noise: Range
    sharpening: Range
    bordered: float = 0.0


# Shares and grey levels as counted over the 50 real hands without masks.
_HABITS: dict[Look, _Habit] = {
    "clear": _Habit(0.50, (2, 14), (140, 220), (1.1, 1.5), (0.8, 1.05),
        (0.1, 0.4), (2, 12), (0.8, 2.0), (0.1, 0.6), 0.4),
    "removed": _Habit(0.14, (0, 0), (205, 240), (0.8, 1.0), (0.9, 1.2),
        (0.5, 0.8), (0, 0), (1.0, 2.5), (0.6, 1.2)),
    "dark": _Habit(0.11, (4, 32), (24, 55), (0.9, 1.2), (0.8, 1.1),
        (0.0, 0.2), (0, 3), (0.5, 1.0), (0.0, 0.4)),
    "bright": _Habit(0.11, (28, 58), (175, 205), (1.0, 1.3), (0.85, 1.1),
        (0.15, 0.4), (4, 14), (1.0, 2.0), (0.2, 0.7), 0.8),
    "film": _Habit(0.07, (48, 100), (120, 175), (0.95, 1.25), (0.8, 1.1),
        (0.0, 0.2), (4, 14), (1.0, 2.2), (0.0, 0.4)),
    "frame": _Habit(0.07, (15, 125), (60, 120), (0.9, 1.2), (0.7, 1.0),
        (0.0, 0.2), (2, 8), (0.8, 1.6), (0.0, 0.4)),
}  # fmt: skip


def choose_style(rng: np.random.Generator) -> Style:
    """One of the ways the real hands look, about as often as they do."""
    looks = list(_HABITS)
    look = looks[int(rng.choice(len(looks), p=[_HABITS[name].share for name in looks]))]
    habit = _HABITS[look]
    background = rng.uniform(*habit.background)
    ceiling = min(250.0, background + rng.uniform(*habit.span))
    turned, outside, border = None, 0.0, None
    if look == "frame":
        turned = float(rng.uniform(-6.0, 6.0) if rng.uniform() < 0.7 else rng.uniform(-45.0, 45.0))
        outside = float(rng.choice([0.0, background - 10.0, background + 30.0]))
    elif rng.uniform() < habit.bordered:
        border = 250.0 if look == "bright" else float(rng.choice([250.0, 235.0, 0.0, 90.0]))
    return Style(
        look=look,
        background=float(background),
        ceiling=float(ceiling),
        gamma=float(rng.uniform(*habit.gamma)),
        mineral=float(rng.uniform(*habit.mineral)),
        local=float(rng.uniform(*habit.local)),
        glow=float(rng.uniform(*habit.glow)),
        noise=float(rng.uniform(*habit.noise)),
        sharpening=float(rng.uniform(*habit.sharpening)),
        turned=turned,
        outside=outside,
        border=border,
    )


def choose_size(style: Style, rng: np.random.Generator) -> tuple[int, int]:
    """(width, height) as the sources have them: thumbnails of digital films, large cut-outs, crops of old
    films."""
    if style.look == "removed":
        return (1600, 2080)
    if style.look == "film":
        height = int(rng.integers(900, 1600))
        return (int(height * rng.uniform(0.64, 0.86)), height)
    if rng.uniform() < 0.12:
        height = int(rng.integers(900, 2080))
        return (int(height * rng.uniform(0.74, 0.82)), height)
    return (500, 625)


def film_corners(style: Style, size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.float64] | None:
    """Corners (4, 2) of a film that lies turned in the picture, None where the film fills it."""
    if style.turned is None:
        return None
    a = np.radians(style.turned)
    half = 0.5 * np.array(size) * rng.uniform(0.66, 0.86, 2)
    reach = np.abs([[np.cos(a), np.sin(a)], [np.sin(a), np.cos(a)]]) @ half
    half = half * min(1.0, float((0.5 * np.array(size) * 0.99 / reach).min()))
    corners = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]) * half
    turn = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    return np.asarray(corners @ turn + 0.5 * np.array(size))
