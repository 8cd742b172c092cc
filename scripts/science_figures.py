"""Draw the figures of docs/science.md that compare several experiments; run it with `.venv/bin/python`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import matplotlib as mpl
import numpy as np

from model.research.experiment.figures.learning import panels
from model.research.experiment.figures.palette import DPI, STYLE
from model.research.experiment.figures.validation import told_and_true

SUMMARIES = Path(__file__).resolve().parent.parent / "docs" / "science"
SETS = ("legs",)
FIRST = "exact"
"""The way to label that the others are compared with."""
WAYS = (FIRST, "old", "new", "blind", "edits", "accepted-03", "accepted-0")


def draw(name: str) -> None:
    """Draw test DSC over labels for the ways to label one set, and what validation says beside it."""
    found = {way: SUMMARIES / f"{name}-annotator-{way}.json" for way in WAYS}
    summaries = {way: json.loads(path.read_text()) for way, path in found.items() if path.exists()}
    rounds = {way: summary["arms"]["random"]["rounds"] for way, summary in summaries.items()}
    labels = {way: np.array([entry["labels"] for entry in several]) for way, several in rounds.items()}
    true = {way: _by_seed(entry["dsc"]["by_seed"] for entry in several) for way, several in rounds.items()}
    told = {way: _by_seed(entry["validation_dsc"] for entry in several) for way, several in rounds.items()}
    pool = summaries[FIRST]["images"]["training"]
    with mpl.rc_context(cast(Any, STYLE)):
        learning = panels(
            {way: (np.tile(labels[way], (len(true[way]), 1)), true[way]) for way in rounds},
            None,
            f"labels (of {pool})",
            100 / pool,
            FIRST,
        )
        learning.savefig(SUMMARIES / f"{name}-annotators.png", dpi=DPI)
        shown = [way for way in ("exact", "old", "new", "blind") if way in rounds]
        validation = told_and_true({way: (labels[way], true[way], told[way]) for way in shown})
        validation.savefig(SUMMARIES / f"{name}-annotators-validation.png", dpi=DPI)


def _by_seed(rounds: Any) -> np.ndarray:
    """(S, R) values of (R, S) ones; None becomes NaN."""
    return np.array(list(rounds), np.float64).T


if __name__ == "__main__":
    for each in SETS:
        draw(each)
