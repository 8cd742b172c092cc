"""What validation says and what is true: DSC on submitted labels beside that of the test images."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from model.research.experiment.curves import Curves, strategies_of
from model.research.experiment.figures.learning import COLUMNS, PANEL
from model.research.experiment.figures.palette import COLOURS
from model.research.experiment.labelling import Labelling
from model.research.experiment.rounds import Results

Numbers = NDArray[np.float64]
TRUE, TOLD = COLOURS[0], COLOURS[1]


def validation_figure(results: Results) -> Figure:
    """A panel for each arm of an experiment."""
    found = {}
    for arm in strategies_of(results):
        curves = Curves.of(results, arm)
        found[arm] = (curves.labels, curves.dsc, Labelling.of(results, arm).figure)
    return told_and_true(found)


def told_and_true(curves: dict[str, tuple[Numbers, Numbers, Numbers]]) -> Figure:
    """A panel for each name: test DSC against labels, and the DSC on the validation labels that count.

    Args:
        curves: labels (R,), test DSC (S, R) and DSC on validation labels (S, R) by name. A round in which the
            latter is NaN in any seed, as there were too few validation labels, has no point.
    """
    columns = min(COLUMNS, len(curves))
    rows = -(-len(curves) // columns)
    figure = Figure(figsize=(columns * PANEL[0] + 0.4, rows * PANEL[1] + 0.4), layout="constrained")
    axes = list(figure.subplots(rows, columns, sharex=True, sharey=True, squeeze=False).flat)
    for axis, (name, (labels, true, told)) in zip(axes, curves.items(), strict=False):
        axis.set_title(name, loc="left")
        axis.plot(labels, true.mean(axis=0), color=TRUE, marker="o", label="test images, truth")
        axis.plot(
            labels,
            told.mean(axis=0),
            color=TOLD,
            marker="s",
            linestyle="--",
            label="validation images, submitted labels",
        )
    for axis in axes[len(curves) :]:
        axis.remove()
    axes[0].legend(loc="lower right")
    figure.supxlabel("labels", fontsize=9)
    figure.supylabel("DSC", fontsize=9)
    return figure
