"""The figures of an experiment: the paper's Figures 3 and 4, and what each arm chose."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
from matplotlib.figure import Figure

from model.experiment.curves import strategies_of
from model.experiment.experiment import Results
from model.experiment.figures.batches import batches_figure
from model.experiment.figures.effort import effort_figure
from model.experiment.figures.learning import learning_figure
from model.experiment.figures.quality import quality_figure
from model.experiment.figures.style import DPI, STYLE

FOLDER = "figures"


def draw_figures(results: Results, folder: Path) -> list[Path]:
    """Write all figures as PNG below `folder`/figures and return their paths."""
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
    for arm in arms:
        yield f"batches-{arm}", batches_figure(results, arm)
