"""Style of all figures: colours safe for colour-blind readers, line styles distinct in grey print."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from model.research.experiment.settings import REFERENCE

DPI = 160
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
"""Okabe & Ito (2008), without black, which marks the upper bound, and yellow, which is faint on white."""
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
class LineStyle:
    """Colour, line style and marker of an arm in all figures."""

    color: str
    linestyle: str
    marker: str

    def options(self) -> dict[str, Any]:
        """The style as keyword arguments of `Axes.plot`."""
        return {"color": self.color, "linestyle": self.linestyle, "marker": self.marker}


def line_styles(arms: Sequence[str], reference: str = REFERENCE) -> dict[str, LineStyle]:
    """A style for each arm: grey and dotted for the reference, by position for the others."""
    found = {}
    index = 0
    for arm in arms:
        if arm == reference:
            found[arm] = LineStyle(GREY, ":", "o")
        else:
            line = LINES[index // len(COLOURS) % len(LINES)]
            # The first marker is that of the reference.
            found[arm] = LineStyle(
                COLOURS[index % len(COLOURS)], line, MARKERS[1 + index % (len(MARKERS) - 1)]
            )
            index += 1
    return found
