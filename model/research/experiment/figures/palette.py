"""One look for all figures: colours that the colour-blind tell apart, lines that survive grey print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from model.research.experiment.settings import REFERENCE

DPI = 160
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe & Ito (2008), without black, which is the bound's, and yellow, which is lost on white paper."""
LINES = ("-", "--", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
GREY, BLACK = "#6b6b6b", "#000000"
STYLE: dict[str, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e2e2e2",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "figure.facecolor": "white",
    "lines.linewidth": 1.5,
    "lines.markersize": 4,
}


@dataclass(frozen=True)
class Look:
    """How an arm is drawn, in every figure."""

    color: str
    linestyle: str
    marker: str

    def options(self) -> dict[str, Any]:
        """As keyword arguments of `Axes.plot`."""
        return {"color": self.color, "linestyle": self.linestyle, "marker": self.marker}


def looks(arms: Sequence[str]) -> dict[str, Look]:
    """A look for each arm: the reference grey and dotted, the others by their place."""
    found = {}
    place = 0
    for arm in arms:
        if arm == REFERENCE:
            found[arm] = Look(GREY, ":", "o")
        else:
            line = LINES[place // len(COLOURS) % len(LINES)]
            # From the second marker on, as the first is the reference's.
            found[arm] = Look(COLOURS[place % len(COLOURS)], line, MARKERS[1 + place % (len(MARKERS) - 1)])
            place += 1
    return found
