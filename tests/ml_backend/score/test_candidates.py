"""Which tasks are scored before an order is shown."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_backend.score.candidates import NO_CHUNK, choose, keep_former
from ml_backend.settings import Settings
from ml_backend.store import projects, runs, scores, versions
from ml_backend.store.database import Database
from ml_backend.store.liveness import ProcessId
from ml_backend.store.models import RunState, Score, ScoreState, Version, VersionState
from model.strategies.scores import BATCH_BAND
from tests.ml_backend.score.published import (
    WEIGHTS,
    XML,
    context,
    is_published,
    knobs,
    rows_of,
    successor,
)

TASKS = st.lists(st.integers(1, 500), unique=True, min_size=1, max_size=60)


@given(tasks=TASKS, data=st.data(), seed=st.integers(0, 2**31))
def test_half_are_the_next_ones_and_the_others_random(
    tasks: list[int], data: st.DataObject, seed: int
) -> None:
    size = data.draw(st.integers(0, len(tasks)))
    pending = data.draw(st.lists(st.sampled_from(tasks), unique=True, min_size=size))
    chosen = choose(tasks, pending, size, seed)
    assert len(chosen) == size
    assert chosen <= set(pending)
    assert chosen.issuperset([task for task in tasks if task in pending][: size // 2])
    assert chosen == choose(tasks, sorted(pending), size, seed)


def test_the_random_half_differs_by_the_seed() -> None:
    tasks = list(range(1000))
    first, second = (choose(tasks, tasks, 100, seed) for seed in (1, 2))
    assert first & second >= set(range(50))
    assert len(first & second) < 65


def test_tasks_without_a_former_order_are_drawn_too() -> None:
    assert choose([], [3, 1, 2], 2, 0) < {1, 2, 3}


OTHER = "b" * 64
TWO = {"candidates": 2}


def trained(database: Database, version_id: int) -> int:
    """Record the training that produced a version; returns its id."""
    with database.write() as session:
        projects.ensure(session, 1, seed=3)
        run = runs.begin(session, 1, ProcessId.current(), force=True)
        assert run is not None
        runs.finish(session, run, RunState.FINISHED, version_id=version_id)
        return run.id


def plan(
    database: Database, settings: Settings, strategy: str = "disagreement", **changes: Any
) -> tuple[int, Version, dict[int, Score]]:
    """Plan the scores of a version with other weights: the training before, the version and its rows."""
    config = knobs(XML, strategy="disagreement")
    run = trained(database, is_published(database, settings, config))
    version = successor(database, strategy, OTHER)
    chosen = settings.model_copy(update=TWO | changes)
    keep_former(context(database, chosen), version, knobs(XML, strategy=strategy))
    return run, version, rows_of(database, version)


def test_all_but_the_candidates_keep_mask_and_score_of_the_version_before(
    database: Database, settings: Settings
) -> None:
    run, version, rows = plan(database, settings)
    waiting = {task for task, row in rows.items() if row.state is ScoreState.PENDING}
    kept = {task: row for task, row in rows.items() if row.due}
    # Besides two candidates: an unreadable image, a mask that a draft drew, a task that was added since.
    assert waiting >= {3, 4, 6}
    assert 3 <= len(waiting) <= 5
    assert waiting | kept.keys() == set(rows)
    for task, row in kept.items():
        assert (row.state, row.drawn_by_run, row.chunk) == (ScoreState.RANKED, run, NO_CHUNK)
        assert row.score == (1.0 if task == 2 else pytest.approx(task / 10 + 0.05))
    with database.read() as session:
        assert scores.due(session, version.id) == kept.keys()
        assert NO_CHUNK not in scores.unfinished_chunks(session, version.id)
        assert len(scores.of_version(session, version.id, due=False)) == len(waiting)


def test_kept_scores_do_not_compete_for_the_batch(database: Database, settings: Settings) -> None:
    _, _, rows = plan(database, settings, "core-set")
    kept = [row for row in rows.values() if row.due]
    assert kept
    for row in kept:
        assert row.state is ScoreState.RANKED, "it does not wait for the ranking of the candidates"
        assert row.priority is not None
        assert row.priority >= BATCH_BAND, "the band below is the batch's"


@pytest.mark.parametrize(
    "changes", [{"candidates": 0}, {"candidates": 7}, {"threshold": 0.7}, {"mask_floor": 0.31}]
)
def test_all_are_scored_if_they_are_few_or_would_be_drawn_otherwise(
    database: Database, settings: Settings, changes: dict[str, Any]
) -> None:
    config = knobs(XML, strategy="disagreement")
    trained(database, is_published(database, settings, config))
    version = successor(database, "disagreement", OTHER)
    knob = {"threshold": str(changes["threshold"])} if "threshold" in changes else {}
    chosen = settings.model_copy(update=TWO | {k: v for k, v in changes.items() if k != "threshold"})
    assert keep_former(context(database, chosen), version, knobs(XML, strategy="disagreement", **knob)) == 0
    assert {row.state for row in rows_of(database, version).values()} == {ScoreState.PENDING}


def test_masks_of_initial_weights_are_not_kept_as_no_training_drew_them(
    database: Database, settings: Settings
) -> None:
    config = knobs(XML, strategy="disagreement")
    is_published(database, settings, config)
    version = successor(database, "disagreement", OTHER)
    assert keep_former(context(database, settings.model_copy(update=TWO)), version, config) == 0


def test_nothing_is_kept_of_the_version_that_people_leave(database: Database, settings: Settings) -> None:
    config = knobs(XML, strategy="disagreement")
    trained(database, is_published(database, settings, config))
    version = successor(database, "disagreement", OTHER)
    with database.write() as session:
        project = projects.ensure(session, 1, seed=3)
        former = versions.create(
            session, project, round=77, state=VersionState.SUPERSEDED, weights_hash=OTHER
        )
        session.get_one(Version, version.id).parent_id = version.parent_id = former.id
    assert keep_former(context(database, settings.model_copy(update=TWO)), version, config) == 0
    assert {row.state for row in rows_of(database, version).values()} == {ScoreState.PENDING}


def test_other_labels_are_scored(database: Database, settings: Settings) -> None:
    config = knobs(XML, strategy="disagreement")
    trained(database, is_published(database, settings, config))
    version = successor(database, "disagreement", WEIGHTS, labels=("Bone", "Tooth"))
    assert keep_former(context(database, settings.model_copy(update=TWO)), version, config) == 0


def test_a_kept_mask_is_kept_again_under_the_training_that_drew_it(
    database: Database, settings: Settings
) -> None:
    run, version, rows = plan(database, settings)
    kept = {task for task, row in rows.items() if row.due}
    later = trained(database, version.id)
    with database.write() as session:
        current = session.get_one(Version, version.id)
        current.fingerprint = session.get_one(Version, version.parent_id).fingerprint
        versions.publish(session, current)
        drafted = session.get_one(Score, (version.id, min(kept)))
        drafted.packed = None
    third = successor(database, "disagreement", "c" * 64, number=3)
    chosen = settings.model_copy(update={"candidates": 1})
    keep_former(context(database, chosen), third, knobs(XML, strategy="disagreement"))
    again = {task: row for task, row in rows_of(database, third).items() if row.due}
    assert again.keys() <= kept - {min(kept)}, "what a draft has drawn since is scored"
    assert again
    assert {row.drawn_by_run for row in again.values()} == {run}
    assert run != later
