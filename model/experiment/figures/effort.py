"""Figure 4 again over what the labels cost: the length of the boundaries that annotators drew."""

from __future__ import annotations

from matplotlib.figure import Figure

from model.experiment.curves import Curves, bound_of, strategies_of
from model.experiment.experiment import Results
from model.experiment.figures.learning import panels


def effort_figure(results: Results) -> Figure:
    """Test DSC against the share of the training pool's boundary length that has been drawn."""
    curves = {arm: Curves.of(results, arm) for arm in strategies_of(results)}
    return panels(
        {arm: (100 * found.effort, found.dsc) for arm, found in curves.items()},
        bound_of(results),
        "boundary drawn (% of the training pool's)",
        1.0,
    )
