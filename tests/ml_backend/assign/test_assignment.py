from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ml_backend.assign.assignment import GRACE, IDLE, LOCKED, Snapshot, outdated, plan, surplus_of
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
    """Hands that were dealt by the version `version` at `since`; everybody but `away` is there."""
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


def rest(board: Snapshot, task: int, since: datetime) -> None:
    board.known[task] = Assignment(project_id=1, task_id=task, email=None, since=since)


def test_hands_are_filled_from_the_top() -> None:
    assert plan(snapshot({"ann": [3]})) == {1: "ann", 2: "bob", 4: "bob"}


def test_what_is_open_elsewhere_is_nobodys_for_a_day() -> None:
    opened = {1: NOW - timedelta(hours=1), 2: NOW - LOCKED}
    assert plan(snapshot({}, opened=opened)) == {2: "ann", 3: "bob", 4: "ann", 5: "bob"}


def test_what_was_open_for_a_day_rests_before_it_has_annotators() -> None:
    board = snapshot({"ann": [3], "bob": [4]}, opened={1: LONG_AGO})
    board.known[1].since = NOW - GRACE / 2
    assert plan(board) == {}
    board.known[1].since = NOW - GRACE
    assert plan(board) == {1: "ann", 2: "bob"}


def test_while_tasks_rest_only_who_has_nothing_to_open_next_gets_something() -> None:
    board = snapshot({"ann": [9]})
    rest(board, 1, NOW - GRACE / 2)
    assert plan(board) == {2: "bob"}
    # What is open is soon submitted, and then the next is asked for at once.
    board.known[9].opened_at = NOW
    assert plan(board) == {2: "ann", 3: "bob"}
    board.known[9].opened_at = None
    rest(board, 1, NOW - GRACE)
    assert plan(board) == {1: "ann", 2: "bob", 3: "ann", 4: "bob"}


def test_who_is_away_has_annotators_to_after_the_others() -> None:
    assert plan(snapshot({}, away=("bob",))) == {1: "ann", 2: "ann", 3: "bob", 4: "bob"}


def test_who_is_away_gives_back_what_is_not_open_after_a_while() -> None:
    assignments, opened = {"ann": [1, 3], "bob": [2, 4]}, {4: NOW - timedelta(hours=3)}
    assert outdated(snapshot(assignments, away=("bob",), opened=opened)) == []
    assert outdated(snapshot(assignments, away=("bob",), opened=opened, since=NOW - IDLE)) == [2]
    # Nobody is there: nothing need be taken from anybody.
    assert outdated(snapshot(assignments, away=("ann", "bob"), since=NOW - IDLE)) == []


def test_an_open_task_is_taken_back_after_a_day() -> None:
    assert outdated(snapshot({"bob": [2, 4]}, opened={4: NOW - LOCKED})) == [4]


def test_a_new_order_leaves_the_best_task_and_the_open_ones() -> None:
    assignments = {"ann": [5, 1, 3], "bob": [2, 6, 4]}
    board = snapshot(assignments, version=OLD, opened={2: NOW, 6: NOW})
    assert outdated(board) == [3, 5]


def test_a_large_hand_keeps_enough_to_go_on_while_others_rest() -> None:
    assignments = {"ann": [1, 3, 5, 7, 9], "bob": []}
    board = snapshot(assignments, version=OLD, opened={1: NOW}, size=10)
    assert outdated(board) == [9], "the open one and three more stay"
    rest(board, 2, NOW)
    assert plan(board) == dict.fromkeys((4, 6, 8), "bob")


def test_who_has_no_view_keeps_what_is_open() -> None:
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
def test_full_hands_give_to_empty_ones(
    assignments: dict[str, list[int]], away: tuple[str, ...], opened: list[int], given: list[int]
) -> None:
    board = snapshot(assignments, away=away, opened=dict.fromkeys(opened, NOW))
    assert sorted(surplus_of(board)) == given
