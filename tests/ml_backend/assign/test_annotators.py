from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ml_backend.assign.distribution import COOLDOWN, IDLE, LOCKED, Snapshot, outdated, plan, surplus_of
from ml_backend.store.models import Annotator, Assignment

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=7)
OLD, NEW = 1, 2


def snapshot(
    assignments: dict[str, list[int]],
    *,
    ranking: list[int] | None = None,
    away: tuple[str, ...] = (),
    opened: dict[int, datetime] | None = None,
    version: int = NEW,
    since: datetime = NOW - timedelta(minutes=5),
    size: int = 2,
) -> Snapshot:
    """Tasks assigned by `version` at `since`; all annotators except `away` are active."""
    opened = opened or {}
    annotators = {
        email: Annotator(project_id=1, email=email, active_at=LONG_AGO if email in away else NOW)
        for email in ("ann", "bob")
    }
    assigned = {task: email for email, tasks in assignments.items() for task in tasks}
    known = {
        task: Assignment(
            project_id=1,
            task_id=task,
            email=assigned.get(task),
            since=since,
            opened_at=opened.get(task),
            version_id=version,
        )
        for task in assigned.keys() | opened.keys()
    }
    return Snapshot(
        at=NOW,
        size=size,
        version=NEW,
        annotators=annotators,
        assigned=assigned,
        done={},
        opened=set(opened),
        ranking=list(range(1, 11)) if ranking is None else ranking,
        known=known,
    )


def cool_down(current: Snapshot, task: int, since: datetime) -> None:
    current.known[task] = Assignment(project_id=1, task_id=task, email=None, since=since)


def test_missing_tasks_are_assigned_from_the_top() -> None:
    assert plan(snapshot({"ann": [3]})) == {1: "ann", 2: "bob", 4: "bob"}


def test_a_task_open_elsewhere_stays_unassigned_for_a_day() -> None:
    opened = {1: NOW - timedelta(hours=1), 2: NOW - LOCKED}
    assert plan(snapshot({}, opened=opened)) == {2: "ann", 3: "bob", 4: "ann", 5: "bob"}


def test_a_task_that_was_open_for_a_day_cools_down_before_it_is_assigned() -> None:
    current = snapshot({"ann": [3], "bob": [4]}, opened={1: LONG_AGO})
    current.known[1].since = NOW - COOLDOWN / 2
    assert plan(current) == {}
    current.known[1].since = NOW - COOLDOWN
    assert plan(current) == {1: "ann", 2: "bob"}


def test_during_a_cooldown_only_annotators_without_an_unopened_task_get_tasks() -> None:
    current = snapshot({"ann": [9]})
    cool_down(current, 1, NOW - COOLDOWN / 2)
    assert plan(current) == {2: "bob"}
    # An open task is submitted soon, and the page asks for the next one at once.
    current.known[9].opened_at = NOW
    assert plan(current) == {2: "ann", 3: "bob"}
    current.known[9].opened_at = None
    cool_down(current, 1, NOW - COOLDOWN)
    assert plan(current) == {1: "ann", 2: "bob", 3: "ann", 4: "bob"}


def test_absent_annotators_get_tasks_after_the_others() -> None:
    assert plan(snapshot({}, away=("bob",))) == {1: "ann", 2: "ann", 3: "bob", 4: "bob"}


def test_absent_annotators_lose_unopened_tasks_after_a_while() -> None:
    assignments, opened = {"ann": [1, 3], "bob": [2, 4]}, {4: NOW - timedelta(hours=3)}
    assert outdated(snapshot(assignments, away=("bob",), opened=opened)) == []
    assert outdated(snapshot(assignments, away=("bob",), opened=opened, since=NOW - IDLE)) == [2]
    # If everybody is away, nobody needs the tasks.
    assert outdated(snapshot(assignments, away=("ann", "bob"), since=NOW - IDLE)) == []


def test_an_open_task_is_taken_back_after_a_day() -> None:
    assert outdated(snapshot({"bob": [2, 4]}, opened={4: NOW - LOCKED})) == [4]


def test_a_new_order_leaves_the_best_task_and_the_open_ones() -> None:
    assignments = {"ann": [5, 1, 3], "bob": [2, 6, 4]}
    current = snapshot(assignments, version=OLD, opened={2: NOW, 6: NOW})
    assert outdated(current) == [3, 5]


def test_an_annotator_with_many_tasks_keeps_a_reserve_during_a_cooldown() -> None:
    assignments = {"ann": [1, 3, 5, 7, 9], "bob": []}
    current = snapshot(assignments, version=OLD, opened={1: NOW}, size=10)
    assert outdated(current) == [9], "the open task and three more stay"
    cool_down(current, 2, NOW)
    assert plan(current) == dict.fromkeys((4, 6, 8), "bob")


def test_former_annotators_keep_their_open_tasks() -> None:
    assert outdated(snapshot({"cho": [1, 2]}, opened={2: NOW})) == [1]


@pytest.mark.parametrize(
    ("assignments", "away", "opened", "given"),
    [
        ({"ann": [1, 2, 3, 4]}, (), [1], [3, 4]),
        ({"ann": [1, 2]}, (), [1], [2]),
        ({"ann": [1]}, (), [], []),
        ({"ann": [1, 2]}, (), [1, 2], []),
        ({"ann": [1, 2], "bob": [3]}, (), [], []),
        ({"ann": [1, 2]}, ("bob",), [], []),
        ({}, (), [], []),
    ],
)
def test_annotators_with_many_tasks_give_to_those_without(
    assignments: dict[str, list[int]], away: tuple[str, ...], opened: list[int], given: list[int]
) -> None:
    current = snapshot(assignments, away=away, opened=dict.fromkeys(opened, NOW))
    assert sorted(surplus_of(current)) == given
