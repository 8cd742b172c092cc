"""A folder of small images, and one experiment on them that many tests share."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest

from model.research.experiment.collection import ImageSource
from model.research.experiment.report import Report, run_experiment
from model.research.experiment.settings import ExperimentSettings
from tests.small_set import write_small_set

ARMS = ("random", "consistency", "full")


@dataclass(frozen=True)
class Done:
    """An experiment that was run."""

    source: ImageSource
    settings: ExperimentSettings
    folder: Path
    report: Report


@pytest.fixture(scope="session")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """Three arms, two seeds, two rounds, with networks that learn almost nothing."""
    folder = tmp_path_factory.mktemp("small-set")
    write_small_set(folder)
    source = ImageSource(folder / "images", folder / "masks")
    settings = ExperimentSettings(
        arms=ARMS, seeds=2, start=3, per_round=2, rounds=2, width=4, size=48, steps=4, batch=2
    )
    out = tmp_path_factory.mktemp("experiment") / "out"
    return Done(source, settings, out, run_experiment(settings, source, out))
