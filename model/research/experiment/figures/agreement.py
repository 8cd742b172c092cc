"""Figure 3 of the paper: agreement of the masks against their real Dice."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from model.research.experiment.curves import strategies_of
from model.research.experiment.figures.palette import BLACK, COLOURS, MARKERS
from model.research.experiment.rounds import Results
from model.research.experiment.statistics import ranks

PAPER_ARM = "consistency"
PAPER_SHARE = 0.4316
"""Share of labels at which the paper's network reached the DSC of full annotation."""
SCORES = {"l_dsc": "L-DSC", "m_dsc": "M-DSC", "score": "mean of both"}
Numbers = NDArray[np.float64]


def quality_figure(results: Results) -> Figure:
    """R-DSC against L-DSC, M-DSC and their mean: values in the upper row, ranks in the lower.

    Shows the test images of all seeds for the arm `consistency`, or the first arm if there is no such arm, in
    the round whose number of labels is closest to the paper's share of the pool. Ranks are within a seed.
    Blank masks have no agreement and are left out.
    """
    arms = strategies_of(results)
    arm = PAPER_ARM if PAPER_ARM in arms else arms[0]
    labels = np.array([len(record.labelled) for record in results.records[arm][0]])
    number = int(np.abs(labels - PAPER_SHARE * len(results.split.training)).argmin())
    records = [rounds[number] for rounds in results.records[arm]]
    drawn = [record.test & ~record.blank for record in records]
    blank = int(sum((record.test & record.blank).sum() for record in records))
    real = [record.r_dsc[kept] for record, kept in zip(records, drawn, strict=True)]
    figure = Figure(figsize=(9.6, 6.4), layout="constrained")
    axes = figure.subplots(2, len(SCORES), sharey="row", squeeze=False)
    for column, (name, title) in enumerate(SCORES.items()):
        found = [getattr(record, name)[kept] for record, kept in zip(records, drawn, strict=True)]
        _scatter(axes[0, column], found, real)
        axes[0, column].set_xlabel(title)
        _rank_plot(axes[1, column], found, real)
        axes[1, column].set_xlabel(f"rank of {title}")
    axes[0, 0].set_ylabel("R-DSC")
    axes[1, 0].set_ylabel("rank of R-DSC")
    seeds = "1 seed" if len(records) == 1 else f"{len(records)} seeds"
    figure.suptitle(
        f"{arm}, {labels[number]} labels: {sum(map(len, real))} masks of test images, {seeds}"
        + (f"; {blank} blank masks left out" if blank else ""),
        fontsize=10,
    )
    return figure


def _scatter(axis: Axes, found: list[Numbers], real: list[Numbers]) -> None:
    _points(axis, found, real)
    low = min((float(values.min()) for values in (*found, *real) if len(values)), default=0.0)
    axis.plot([low, 1], [low, 1], color=BLACK, linewidth=0.7, linestyle=(0, (1, 2)))


def _rank_plot(axis: Axes, found: list[Numbers], real: list[Numbers]) -> None:
    x, y = ([ranks(values) for values in side] for side in (found, real))
    _points(axis, x, y)
    joined_x, joined_y = np.concatenate(x), np.concatenate(y)
    if len(joined_x) < 2 or np.ptp(joined_x) == 0:
        return
    slope, height = np.polyfit(joined_x, joined_y, 1)
    ends = np.array([joined_x.min(), joined_x.max()])
    axis.plot(ends, slope * ends + height, color=BLACK)
    axis.set_title(f"regression coefficient {slope:.2f}", loc="left")


def _points(axis: Axes, x: list[Numbers], y: list[Numbers]) -> None:
    for seed, (first, second) in enumerate(zip(x, y, strict=True)):
        axis.scatter(
            first,
            second,
            s=13,
            alpha=0.6,
            linewidths=0,
            color=COLOURS[seed % len(COLOURS)],
            marker=MARKERS[seed % len(MARKERS)],
        )
