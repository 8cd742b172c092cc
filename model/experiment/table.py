"""The tidy table: a row for each arm, seed, round and image."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from model.experiment.experiment import Results
from model.experiment.record import RoundRecord, write_whole

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


def write_table(results: Results, folder: Path) -> Path:
    """Write `results.csv`; docs/experiments.md explains its columns."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for arm, seed, number, record in results.rounds():
        for row in _rows(results, record):
            writer.writerow((arm, seed, number, len(record.labelled), *row))
    write_whole(folder / FILE, text.getvalue().encode())
    return folder / FILE


def _rows(results: Results, record: RoundRecord) -> Iterator[tuple[object, ...]]:
    places = {int(index): place for place, index in enumerate(record.chosen, start=1)}
    for position, index in enumerate(record.images.tolist()):
        image = results.collection.images[index]
        yield (
            image.stem,
            _role(record, position),
            places.get(index, ""),
            _say(record.l_dsc[position]),
            _say(record.m_dsc[position]),
            _say(record.score[position]),
            _say(record.confidence[position]),
            int(record.blank[position]),
            _say(record.own_score[position]),
            _say(record.r_dsc[position]),
            _say(record.hd95[position]),
            f"{image.boundary:.1f}",
        )


def _role(record: RoundRecord, position: int) -> str:
    if record.test[position]:
        return "test"
    return "validation" if record.validation[position] else "pool"


def _say(value: float) -> str:
    return f"{value:.6f}" if np.isfinite(value) else ""
