"""The figures of an experiment: Figures 3 and 4 of the paper, validation, and the chosen batches."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
from matplotlib.figure import Figure

from model.research.experiment.curves import strategies_of
from model.research.experiment.figures.agreement import quality_figure
from model.research.experiment.figures.batches import batches_figure
from model.research.experiment.figures.learning import effort_figure, learning_figure
from model.research.experiment.figures.palette import DPI, STYLE
from model.research.experiment.figures.validation import validation_figure
from model.research.experiment.rounds import Results

FOLDER = "figures"


def draw_figures(results: Results, folder: Path) -> list[Path]:
    """Write all figures as PNG to `folder`/figures and return their paths; `FULL` alone has no figures."""
    target = folder / FOLDER
    target.mkdir(parents=True, exist_ok=True)
    paths = []
    with mpl.rc_context(cast(Any, STYLE)):
        for name, figure in _figures(results):
            path = target / f"{name}.png"
            figure.savefig(path, dpi=DPI)
            paths.append(path)
    return paths


def _figures(results: Results) -> Iterator[tuple[str, Figure]]:
    arms = strategies_of(results)
    if not arms:
        return
    yield "quality", quality_figure(results)
    yield "learning", learning_figure(results)
    yield "effort", effort_figure(results)
    if results.settings.validation != "given":
        yield "validation", validation_figure(results)
    for arm in arms:
        yield f"batches-{arm}", batches_figure(results, arm)
