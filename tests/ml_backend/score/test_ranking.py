"""What the order of a new strategy takes over from the version before."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pytest

from ml_backend.label_studio.config import LabelConfig, default_config, parse
from ml_backend.queue.context import Context
from ml_backend.score import packing
from ml_backend.score.prediction import image_of
from ml_backend.score.ranking import take_over
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
    """The part of Label Studio that taking over needs."""

    def __init__(self, data: dict[int, dict[str, str]]) -> None:
        self._data = data

    def task_data(self, _project: int, tasks: Sequence[int]) -> dict[int, dict[str, str]]:
        return {task: self._data[task] for task in tasks if task in self._data}


@dataclass
class Jobs:
    """The part of a job's context that taking over needs."""

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


def follow(
    database: Database,
    settings: Settings,
    config: LabelConfig,
    strategy: str,
    weights: str = WEIGHTS,
    data: dict[int, dict[str, str]] | None = None,
) -> tuple[int, dict[int, Score]]:
    """Let a version take over from the published one: the number taken over, and its scores by task."""
    with database.write() as session:
        project = projects.ensure(session, 1, seed=3)
        parent = versions.published(session, 1)
        assert parent is not None
        version = versions.create(
            session,
            project,
            round=2,
            state=VersionState.SCORING,
            labels=("Bone",),
            weights_hash=weights,
            parent_id=parent.id,
        )
        version.strategy = strategy
        scores.plan(session, version.id, [1, 2, 3, 4, 5, 6, BLIND], chunk_size=3)
        made = version.id
    with database.read() as session:
        version = session.get_one(Version, made)
    label_studio = Tasks(data_of(range(10)) if data is None else data)
    taken = take_over(cast("Context", Jobs(database, settings, label_studio)), version, config)
    with database.read() as session:
        return taken, {row.task_id: row for row in scores.of_version(session, made, packed=True)}


def test_a_changed_strategy_measures_only_what_the_version_before_could_not(
    database: Database, settings: Settings
) -> None:
    is_published(database, settings, knobs(XML, strategy="disagreement"))
    taken, rows = follow(database, settings, knobs(XML, strategy="entropy"), "entropy")
    assert taken == 4
    waiting = {task for task, row in rows.items() if row.state is ScoreState.PENDING}
    # An unreadable image, a mask that a draft drew, and a task that was added since.
    assert waiting == {3, 4, 6}
    ready = {1, 2, 5, BLIND}
    assert {task for task, row in rows.items() if row.state is ScoreState.RANKED} == ready
    assert rows[5].score == pytest.approx(0.55)
    assert rows[5].priority == pytest.approx(1 - 5 / 20), "the strategy's own number"
    assert rows[5].packed is not None
    assert packing.result(rows[5].packed) == MASK
    assert (rows[2].blank, rows[2].score) == (True, 1.0), "a blank mask is labelled last"


def test_the_other_direction_labels_blank_masks_last_too(database: Database, settings: Settings) -> None:
    is_published(database, settings, knobs(XML, strategy="disagreement"))
    _, rows = follow(database, settings, knobs(XML, strategy="consistency"), "consistency")
    assert rows[2].score == 0.0


def test_a_strategy_that_chooses_batches_ranks_what_was_taken_over(
    database: Database, settings: Settings
) -> None:
    is_published(database, settings, knobs(XML, strategy="disagreement"))
    taken, rows = follow(database, settings, knobs(XML, strategy="core-set"), "core-set")
    assert taken == 4
    assert rows[5].state is ScoreState.MEASURED
    assert rows[5].priority is None
    assert rows[5].packed is not None
    found = packing.measurement(rows[5].packed)
    assert found is not None
    assert found.features.tolist() == [5, 5, 5, 5]


@pytest.mark.parametrize(
    ("values", "weights", "strategy"),
    [
        ({"threshold": "0.7"}, WEIGHTS, "entropy"),
        ({"mask_floor": "0.31"}, WEIGHTS, "entropy"),
        ({}, "b" * 64, "entropy"),
        ({}, WEIGHTS, "mc-dropout"),
    ],
    ids=["another threshold", "other masks", "other weights", "a strategy that measures more"],
)
def test_nothing_is_taken_over_if_more_than_the_strategy_has_changed(
    database: Database, settings: Settings, values: dict[str, str], weights: str, strategy: str
) -> None:
    is_published(database, settings, knobs(XML, strategy="disagreement"))
    taken, rows = follow(database, settings, knobs(XML, strategy=strategy, **values), strategy, weights)
    assert taken == 0
    assert {row.state for row in rows.values()} == {ScoreState.PENDING}


def test_a_task_that_has_become_blind_loses_its_mask(database: Database, settings: Settings) -> None:
    blind = settings.model_copy(update={"validation": "blind"})
    is_published(database, blind, knobs(XML, strategy="disagreement"))
    _, rows = follow(database, blind, knobs(XML, strategy="entropy"), "entropy")
    assert rows[BLIND].state is ScoreState.PENDING
    assert rows[5].state is ScoreState.RANKED


def test_a_task_with_another_image_is_scored_and_a_deleted_one_is_not_taken_over(
    database: Database, settings: Settings
) -> None:
    is_published(database, settings, knobs(XML, strategy="disagreement"))
    data = data_of(range(10)) | {5: {"image": "/data/upload/other.png"}}
    del data[1]
    taken, rows = follow(database, settings, knobs(XML, strategy="entropy"), "entropy", data=data)
    assert taken == 2
    assert {task for task, row in rows.items() if row.state is ScoreState.RANKED} == {2, BLIND}


def test_what_was_measured_in_a_former_way_is_not_taken_over(
    database: Database, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_published(database, settings, knobs(XML, strategy="disagreement"))
    monkeypatch.setattr(packing, "MADE", packing.MADE + 1)
    taken, _ = follow(database, settings, knobs(XML, strategy="entropy"), "entropy")
    assert taken == 0
