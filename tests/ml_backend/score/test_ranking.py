"""What the order of a new strategy takes over from the version before."""

from __future__ import annotations

import pytest

from ml_backend.label_studio.config import LabelConfig
from ml_backend.score import packing
from ml_backend.score.ranking import take_over
from ml_backend.settings import Settings
from ml_backend.store.database import Database
from ml_backend.store.models import Score, ScoreState
from tests.ml_backend.score.published import (
    BLIND,
    MASK,
    WEIGHTS,
    XML,
    context,
    data_of,
    is_published,
    knobs,
    rows_of,
    successor,
)


def follow(
    database: Database,
    settings: Settings,
    config: LabelConfig,
    strategy: str,
    weights: str = WEIGHTS,
    data: dict[int, dict[str, str]] | None = None,
) -> tuple[int, dict[int, Score]]:
    """Let a version take over from the published one: the number taken over, and its scores by task."""
    version = successor(database, strategy, weights)
    taken = take_over(context(database, settings, data), version, config)
    return taken, rows_of(database, version)


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
