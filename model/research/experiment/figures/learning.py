"""Figure 4 of the paper: test DSC against the number of labels, or the length of the drawn boundaries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from model.research.experiment.curves import Curves, bound_of, strategies_of
from model.research.experiment.figures.palette import BLACK, LineStyle, line_styles
from model.research.experiment.rounds import Results
from model.research.experiment.settings import REFERENCE
from model.research.experiment.statistics import crossing
from model.research.experiment.summary import NEAR

COLUMNS = 4
PANEL = (3.1, 2.7)
"""Width and height of a panel in inches."""
Numbers = NDArray[np.float64]


def learning_figure(results: Results) -> Figure:
    """Test DSC against the number of labels: all arms in one panel, then each against the reference.

    Bands are one standard deviation over seeds.
    """
    curves = {arm: Curves.of(results, arm) for arm in strategies_of(results)}
    budgets = {arm: np.tile(found.labels, (results.settings.seeds, 1)) for arm, found in curves.items()}
    pool = len(results.split.training)
    return panels(
        {arm: (budgets[arm], found.dsc) for arm, found in curves.items()},
        bound_of(results),
        f"labels (of {pool})",
        100 / pool,
    )


def effort_figure(results: Results) -> Figure:
    """Test DSC against the effort: the boundary length drawn, in percent of that of the training pool."""
    curves = {arm: Curves.of(results, arm) for arm in strategies_of(results)}
    return panels(
        {arm: (100 * found.effort, found.dsc) for arm, found in curves.items()},
        bound_of(results),
        "boundary drawn (% of the training pool's)",
        1.0,
    )


def panels(
    curves: dict[str, tuple[Numbers, Numbers]],
    bound: Numbers | None,
    budget: str,
    percent: float,
    reference: str = REFERENCE,
) -> Figure:
    """The figure for any kind of budget.

    Args:
        curves: budget (S, R) and DSC (S, R) of each arm, by seed and round.
        bound: (S,) DSC of full annotation; None if unknown.
        budget: label of the horizontal axis.
        percent: factor from the budget to percent of the pool.
        reference: the arm that each of the others is compared with, in a panel of its own.
    """
    arms = list(curves)
    styles = line_styles(arms, reference)
    single = [arm for arm in arms if arm != reference] if len(arms) > 1 else []
    rows, columns = -(-(1 + len(single)) // COLUMNS), min(COLUMNS, 1 + len(single))
    figure = Figure(figsize=(columns * PANEL[0] + 0.4, rows * PANEL[1] + 0.4), layout="constrained")
    axes = figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False)
    cells = list(axes.flat)
    for axis in cells[1 + len(single) :]:
        axis.remove()
    _overview(cells[0], curves, styles)
    for axis, arm in zip(cells[1:], single, strict=False):
        _panel(axis, (reference, arm), curves, styles, bound, percent)
    for axis in cells[: 1 + len(single)]:
        _draw_bound(axis, bound)
    _set_limits(cells[0], curves, bound)
    figure.supxlabel(budget, fontsize=9)
    figure.supylabel("test DSC", fontsize=9)
    return figure


def _overview(axis: Axes, curves: dict[str, tuple[Numbers, Numbers]], styles: dict[str, LineStyle]) -> None:
    axis.set_title("all arms", loc="left")
    for arm, (budget, dsc) in curves.items():
        axis.plot(budget.mean(axis=0), dsc.mean(axis=0), label=arm, **styles[arm].options(), markersize=3)
    if len(curves) <= COLUMNS:
        axis.legend(loc="lower right")


def _panel(
    axis: Axes,
    compared: tuple[str, str],
    curves: dict[str, tuple[Numbers, Numbers]],
    styles: dict[str, LineStyle],
    bound: Numbers | None,
    percent: float,
) -> None:
    arm = compared[1]
    axis.set_title(arm, loc="left", color=styles[arm].color, fontweight="bold")
    drawn = [name for name in compared if name in curves]
    for name in drawn:
        budget, dsc = (values.mean(axis=0) for values in curves[name])
        spread = curves[name][1].std(axis=0, ddof=1) if len(curves[name][1]) > 1 else 0 * dsc
        axis.fill_between(
            budget, dsc - spread, dsc + spread, color=styles[name].color, alpha=0.18, linewidth=0
        )
        axis.plot(budget, dsc, label=name, **styles[name].options())
    axis.legend(loc="lower right")
    if bound is not None:
        _mark_crossings(axis, drawn, curves, styles, float(bound.mean()) - NEAR, percent)


def _mark_crossings(
    axis: Axes,
    arms: Sequence[str],
    curves: dict[str, tuple[Numbers, Numbers]],
    styles: dict[str, LineStyle],
    target: float,
    percent: float,
) -> None:
    """Mark where each arm comes within `NEAR` of the bound; the legend has it in percent of the pool."""
    shares = []
    for arm in arms:
        budget, dsc = (values.mean(axis=0) for values in curves[arm])
        reached = crossing(budget, dsc, target)
        shares.append("never" if reached is None else f"{reached * percent:.0f} %")
        if reached is not None:
            axis.plot([reached, reached], [0, target], color=styles[arm].color, linewidth=1, linestyle=":")
            axis.plot([reached], [target], marker="|", markersize=9, color=styles[arm].color)
    handles, names = axis.get_legend_handles_labels()
    axis.legend(
        handles,
        [f"{name}: {share}" for name, share in zip(names, shares, strict=True)],
        loc="lower right",
        frameon=True,
        edgecolor="none",
        framealpha=0.8,
        title=f"full − {NEAR:g} reached at",
        title_fontsize=8,
        alignment="left",
    )


def _draw_bound(axis: Axes, bound: Numbers | None) -> None:
    if bound is None:
        return
    level = float(bound.mean())
    axis.axhline(level, color=BLACK, linewidth=1)
    axis.axhline(level - NEAR, color=BLACK, linewidth=0.7, linestyle=(0, (1, 2)))
    axis.annotate(
        f"full annotation {level:.3f}",
        (0.02, level),
        xycoords=("axes fraction", "data"),
        xytext=(0, 2),
        textcoords="offset points",
        fontsize=8,
        va="bottom",
    )


def _set_limits(axis: Axes, curves: dict[str, tuple[Numbers, Numbers]], bound: Numbers | None) -> None:
    means = np.concatenate([dsc.mean(axis=0) for _, dsc in curves.values()])
    lowest, highest = float(means.min()), float(means.max())
    if bound is not None:
        highest = max(highest, float(bound.mean()))
    room = max(highest - lowest, 0.02)
    axis.set_ylim(max(0.0, lowest - 0.08 * room), min(1.0, highest + 0.14 * room))
