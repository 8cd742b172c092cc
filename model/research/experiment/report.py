"""A complete experiment: its rounds, then `results.csv`, `summary.json` and the figures."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from model.research.experiment.annotators import SimulatedAnnotation
from model.research.experiment.collection import ImageSource
from model.research.experiment.curves import strategies_of
from model.research.experiment.figures import draw_figures
from model.research.experiment.labelling import submitted
from model.research.experiment.records import RoundRecord, write_atomically
from model.research.experiment.rounds import Results, RoundProgress, run_rounds
from model.research.experiment.settings import ExperimentSettings
from model.research.experiment.summary import write_summary

FILE = "results.csv"
COLUMNS = (
    "arm",
    "seed",
    "round",
    "labels",
    "image",
    "role",
    "chosen",
    "l_dsc",
    "m_dsc",
    "score",
    "confidence",
    "blank",
    "own_score",
    "r_dsc",
    "hd95",
    "boundary_length",
)
ANNOTATIONS = "annotations.csv"
ANNOTATION_COLUMNS = (
    "arm",
    "seed",
    "round",
    "image",
    "role",
    "origin",
    "shown_dsc",
    "added_path_length",
    "drawn_length",
)


@dataclass(frozen=True, eq=False)
class Report:
    """The results of an experiment and the files that contain them.

    Attributes:
        results: the results in memory.
        table: path of results.csv.
        summary: contents of summary.json.
        figures: paths of the figures.
    """

    results: Results
    table: Path
    summary: dict[str, Any]
    figures: list[Path]


def run_experiment(
    settings: ExperimentSettings,
    source: ImageSource,
    folder: Path,
    *,
    processes: int = 1,
    progress: Callable[[RoundProgress], None] | None = None,
    reading: Callable[[int, int], None] | None = None,
) -> Report:
    """Run an experiment and write results.csv, annotations.csv, summary.json and figures/ to its folder.

    Arguments and errors are those of `run_rounds`. If all rounds are done, only the files are written again.
    """
    results = run_rounds(settings, source, folder, processes=processes, progress=progress, reading=reading)
    table = write_table(results, folder)
    write_annotations(results, folder)
    summary = write_summary(results, folder)
    return Report(results, table, summary, draw_figures(results, folder))


def write_table(results: Results, folder: Path) -> Path:
    """Write `results.csv`, one row per arm, seed, round and image (docs/experiments.md); returns its path."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for arm, seed, number, record in results.rounds():
        for row in _rows(results, record):
            writer.writerow((arm, seed, number, len(record.labelled), *row))
    write_atomically(folder / FILE, text.getvalue().encode())
    return folder / FILE


def write_annotations(results: Results, folder: Path) -> None:
    """Write `annotations.csv`, one row per arm, seed, round and image that is labelled before the round."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(ANNOTATION_COLUMNS)
    for arm in strategies_of(results):
        for seed, rounds in enumerate(submitted(results, arm)):
            for number, found in enumerate(rounds):
                for role, several in (("training", found.training), ("validation", found.validation)):
                    for one in several:
                        writer.writerow((arm, seed, number, *_annotation(results, role, one)))
    write_atomically(folder / ANNOTATIONS, text.getvalue().encode())


def _annotation(results: Results, role: str, one: SimulatedAnnotation) -> tuple[object, ...]:
    return (
        results.collection.images[one.image].stem,
        role,
        one.origin,
        _formatted(one.shown_dsc),
        one.added_path,
        f"{one.drawn:.1f}",
    )


def _rows(results: Results, record: RoundRecord) -> Iterator[tuple[object, ...]]:
    ranks = {int(index): rank for rank, index in enumerate(record.chosen, start=1)}
    for position, index in enumerate(record.images.tolist()):
        image = results.collection.images[index]
        yield (
            image.stem,
            _role(record, position),
            ranks.get(index, ""),
            _formatted(record.l_dsc[position]),
            _formatted(record.m_dsc[position]),
            _formatted(record.score[position]),
            _formatted(record.confidence[position]),
            int(record.blank[position]),
            _formatted(record.own_score[position]),
            _formatted(record.r_dsc[position]),
            _formatted(record.hd95[position]),
            f"{image.boundary:.1f}",
        )


def _role(record: RoundRecord, position: int) -> str:
    if record.test[position]:
        return "test"
    return "validation" if record.validation[position] else "pool"


def _formatted(value: float) -> str:
    return f"{value:.6f}" if np.isfinite(value) else ""
