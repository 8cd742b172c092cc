"""A published version in the database, and the version after it, as the planning of scores finds them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from ml_backend.label_studio.config import LabelConfig, default_config, parse
from ml_backend.queue.context import Context
from ml_backend.score import packing
from ml_backend.score.prediction import image_of
from ml_backend.score.strategy import prediction_fingerprint
from ml_backend.settings import Settings
from ml_backend.store import labels_seen, projects, scores, versions
from ml_backend.store.database import Database
from ml_backend.store.models import Part, Score, ScoreState, Version, VersionState
from model.consistency import Consistency
from model.strategies import Measurement
from model.training.splitting import MOST_VALIDATION

XML = default_config(["Bone"])
WEIGHTS = "a" * 64
MASK: list[dict[str, Any]] = [{"id": "r", "type": "brushlabels"}]
BLIND = 7
"""A task that validates."""


def data_of(tasks: Iterable[int]) -> dict[int, dict[str, str]]:
    return {task: {"image": f"/data/upload/{task}.png"} for task in tasks}


class Tasks:
    """The part of Label Studio that planning needs."""

    def __init__(self, data: dict[int, dict[str, str]]) -> None:
        self._data = data

    def task_data(self, _project: int, tasks: Sequence[int]) -> dict[int, dict[str, str]]:
        return {task: self._data[task] for task in tasks if task in self._data}


@dataclass
class Jobs:
    """The part of a job's context that planning needs."""

    database: Database
    settings: Settings
    label_studio: Tasks


def knobs(xml: str, **values: str) -> LabelConfig:
    chosen = " ".join(f'model_{name}="{value}"' for name, value in values.items())
    return parse(xml.replace("<BrushLabels ", f"<BrushLabels {chosen} "))


def image(task: int) -> str:
    return image_of(data_of([task])[task], parse(XML))


def measured(task: int, *, blank: bool = False) -> Measurement:
    agreement = Consistency(task / 10, task / 10 + 0.1, task / 10 + 0.05, blank=blank)
    return Measurement(str(task), agreement, task / 20, task / 30, np.full(4, task, np.float32), None)


def is_published(database: Database, settings: Settings, config: LabelConfig) -> int:
    """A published version, all of whose predictions are in Label Studio; returns its id."""
    with database.write() as session:
        project = projects.ensure(session, 1, seed=3)
        version = versions.create(
            session, project, round=1, state=VersionState.SCORING, labels=("Bone",), weights_hash=WEIGHTS
        )
        version.strategy = "disagreement"
        version.fingerprint = prediction_fingerprint(settings, config, version)
        scores.plan(session, version.id, [1, 2, 3, 4, 5, BLIND], chunk_size=3)
        for row in scores.of_version(session, version.id):
            task = row.task_id
            row.l_dsc, row.m_dsc, row.quality = task / 10, task / 10 + 0.1, 0.9
            row.score, row.state = task / 10 + 0.05, ScoreState.WRITTEN
            row.packed = packing.pack(measured(task), MASK, image(task))
        blank, unreadable, drafted = (session.get_one(Score, (version.id, task)) for task in (2, 3, 4))
        blank.blank, blank.packed = True, packing.pack(measured(2, blank=True), [], image(2))
        unreadable.packed, unreadable.error = packing.pack(None, []), "It is no image."
        drafted.drawn_by_run = 9
        labels_seen.extend_split(
            session,
            1,
            {BLIND: Part.VALIDATION} | dict.fromkeys(range(100, 100 + MOST_VALIDATION), Part.VALIDATION),
        )
        versions.publish(session, version)
        return version.id


def successor(
    database: Database,
    strategy: str,
    weights: str = WEIGHTS,
    labels: Sequence[str] = ("Bone",),
    number: int = 2,
) -> Version:
    """The version of round `number`, whose scores are planned."""
    with database.write() as session:
        project = projects.ensure(session, 1, seed=3)
        parent = versions.published(session, 1)
        assert parent is not None
        version = versions.create(
            session,
            project,
            round=number,
            state=VersionState.SCORING,
            labels=tuple(labels),
            weights_hash=weights,
            parent_id=parent.id,
        )
        version.strategy = strategy
        scores.plan(session, version.id, [1, 2, 3, 4, 5, 6, BLIND], chunk_size=3)
        made = version.id
    with database.read() as session:
        return session.get_one(Version, made)


def context(database: Database, settings: Settings, data: dict[int, dict[str, str]] | None = None) -> Context:
    """The part of a job's context that is needed; `data` of the tasks by id."""
    return cast("Context", Jobs(database, settings, Tasks(data_of(range(10)) if data is None else data)))


def rows_of(database: Database, version: Version) -> dict[int, Score]:
    """The version's scores by task."""
    with database.read() as session:
        return {row.task_id: row for row in scores.of_version(session, version.id, packed=True)}
