"""A whole experiment: its rounds, then everything that is written about them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model.experiment.collection import Source
from model.experiment.experiment import Progress, Results, run_rounds
from model.experiment.figures import draw_figures
from model.experiment.settings import ExperimentSettings
from model.experiment.summary import write_summary
from model.experiment.table import write_table


@dataclass(frozen=True, eq=False)
class Report:
    """What an experiment wrote.

    Attributes:
        results: in memory.
        table: path of the CSV file.
        summary: as in summary.json.
        figures: paths of the pictures.
    """

    results: Results
    table: Path
    summary: dict[str, Any]
    figures: list[Path]


def run_experiment(
    settings: ExperimentSettings,
    source: Source,
    folder: Path,
    *,
    processes: int = 1,
    progress: Callable[[Progress], None] | None = None,
    reading: Callable[[int, int], None] | None = None,
) -> Report:
    """Carry out an experiment and write results.csv, summary.json and figures/ into its folder.

    See `run_rounds`; with all rounds done, everything is only written anew.
    """
    results = run_rounds(settings, source, folder, processes=processes, progress=progress, reading=reading)
    table = write_table(results, folder)
    summary = write_summary(results, folder)
    return Report(results, table, summary, draw_figures(results, folder))
