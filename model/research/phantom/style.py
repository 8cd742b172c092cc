"""Styles: how real radiographs of hands were exposed, read out and archived, with the frequency of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Look = Literal["clear", "removed", "dark", "bright", "film", "frame"]
"""Clear; background removed; nearly black; bright; old film; a film lying turned in its frame."""
Range = tuple[float, float]


@dataclass(frozen=True)
class Style:
    """How one radiograph was exposed and read out.

    Attributes:
        look: one of `Look`; the background of "removed" is black outside the skin.
        background: grey level (0 to 255) of the bare film.
        ceiling: grey level (0 to 255) of the densest bone.
        gamma: exponent of the curve between `background` and `ceiling`.
        mineral: absorption of bone mineral relative to flesh.
        local: strength of the reader's local contrast enhancement.
        glow: scatter around the hand and unevenness of the illumination, in grey levels.
        noise: strength of the noise.
        sharpening: strength of the reader's edge enhancement.
        turned: rotation in degrees of a film that lies in a larger frame; None if the film fills the image.
        outside: grey level (0 to 255) of that frame.
        border: grey level (0 to 255) of collimated margins; None if there are none.
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
        """Whether the film has a lead marker."""
        return self.look not in ("removed", "film")


@dataclass(frozen=True)
class _Ranges:
    """Ranges of the random attributes of a look.

    `share` is the frequency of the look, `span` the range of ceiling − background, and `bordered` the share
    of images with collimated margins.
    """

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


# Shares and grey levels were measured on the 50 real hands without masks.
_LOOKS: dict[Look, _Ranges] = {
    "clear": _Ranges(0.50, (2, 14), (140, 220), (1.1, 1.5), (0.8, 1.05),
        (0.1, 0.4), (2, 12), (0.8, 2.0), (0.1, 0.6), 0.4),
    "removed": _Ranges(0.14, (0, 0), (205, 240), (0.8, 1.0), (0.9, 1.2),
        (0.5, 0.8), (0, 0), (1.0, 2.5), (0.6, 1.2)),
    "dark": _Ranges(0.11, (4, 32), (24, 55), (0.9, 1.2), (0.8, 1.1),
        (0.0, 0.2), (0, 3), (0.5, 1.0), (0.0, 0.4)),
    "bright": _Ranges(0.11, (28, 58), (175, 205), (1.0, 1.3), (0.85, 1.1),
        (0.15, 0.4), (4, 14), (1.0, 2.0), (0.2, 0.7), 0.8),
    "film": _Ranges(0.07, (48, 100), (120, 175), (0.95, 1.25), (0.8, 1.1),
        (0.0, 0.2), (4, 14), (1.0, 2.2), (0.0, 0.4)),
    "frame": _Ranges(0.07, (15, 125), (60, 120), (0.9, 1.2), (0.7, 1.0),
        (0.0, 0.2), (2, 8), (0.8, 1.6), (0.0, 0.4)),
}  # fmt: skip


def choose_style(rng: np.random.Generator) -> Style:
    """Draw a style, with the frequencies and ranges of real radiographs."""
    looks = list(_LOOKS)
    look = looks[int(rng.choice(len(looks), p=[_LOOKS[name].share for name in looks]))]
    ranges = _LOOKS[look]
    background = rng.uniform(*ranges.background)
    ceiling = min(250.0, background + rng.uniform(*ranges.span))
    turned, outside, border = None, 0.0, None
    if look == "frame":
        turned = float(rng.uniform(-6.0, 6.0) if rng.uniform() < 0.7 else rng.uniform(-45.0, 45.0))
        outside = float(rng.choice([0.0, background - 10.0, background + 30.0]))
    elif rng.uniform() < ranges.bordered:
        border = 250.0 if look == "bright" else float(rng.choice([250.0, 235.0, 0.0, 90.0]))
    return Style(
        look=look,
        background=float(background),
        ceiling=float(ceiling),
        gamma=float(rng.uniform(*ranges.gamma)),
        mineral=float(rng.uniform(*ranges.mineral)),
        local=float(rng.uniform(*ranges.local)),
        glow=float(rng.uniform(*ranges.glow)),
        noise=float(rng.uniform(*ranges.noise)),
        sharpening=float(rng.uniform(*ranges.sharpening)),
        turned=turned,
        outside=outside,
        border=border,
    )


def choose_size(style: Style, rng: np.random.Generator) -> tuple[int, int]:
    """Draw an image size (width, height) in pixels.

    The real images are thumbnails of digital images, large cut-outs, and crops of old films.
    """
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
    """Draw the position of a film that lies turned in an image of `size` (width, height).

    Returns:
        Its corners (4, 2) as (x, y) pixels, clockwise from the top left; None if the film fills the image.
    """
    if style.turned is None:
        return None
    a = np.radians(style.turned)
    half = 0.5 * np.array(size) * rng.uniform(0.66, 0.86, 2)
    reach = np.abs([[np.cos(a), np.sin(a)], [np.sin(a), np.cos(a)]]) @ half
    half = half * min(1.0, float((0.5 * np.array(size) * 0.99 / reach).min()))
    corners = np.array([[-1.0, -1.0], [1.0, -1.0], [1.0, 1.0], [-1.0, 1.0]]) * half
    turn = np.array([[np.cos(a), np.sin(a)], [-np.sin(a), np.cos(a)]])
    return np.asarray(corners @ turn + 0.5 * np.array(size))
