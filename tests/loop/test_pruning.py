"""Pruning after a publication: predictions that an open page may show are kept for a day."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ml_backend.score import pruning
from ml_backend.store import versions
from ml_backend.store.models import now
from ml_backend.store.version_names import open_name
from model.research.phantom import Phantom
from tests.loop.board import Board, MakeBoard
from tests.loop.service import Service

# Reconcile also reports what the queue lacks for projects of earlier tests.
pytestmark = pytest.mark.usefixtures("others_archived")


def test_former_predictions_are_kept_for_pages_that_may_show_them(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_board(phantoms[:9])
    first = board.shown_version()
    top = [task for task, _ in board.order()]
    # A task that is opened by a click in the list is not locked.
    shown = {task: board.open(task)[0] for task in top}
    board.annotate(3)
    version = board.await_round(1)
    # While a publication runs, reconcile requests no other that would prune.
    service.settle()
    assert first not in board.stored()

    # The prediction ids that pages submit still exist; only the version name has changed.
    kept = {
        task: next(one for one in board.predictions(task) if one["id"] == shown[task]["id"]) for task in top
    }
    assert {one["model_version"] for one in kept.values()} == {open_name(board.id, now().date())}
    assert [kept[task]["result"] for task in top] == [shown[task]["result"] for task in top]
    # They affect neither the order nor what the label stream shows.
    scored = board.scores(version)
    assert [(task, score) for task, score in board.order()] == [
        (task, pytest.approx(scored[task].score)) for task, _ in board.order()
    ]
    streamed = service.label_studio.next_task(board.id, board.view)
    assert streamed is not None
    assert [one["model_version"] for one in streamed["predictions"]] == [version.name]

    past, recent = (open_name(board.id, now().date() - timedelta(days=days)) for days in (2, 1))
    foreign = open_name(board.id + 1000, now().date() - timedelta(days=9))
    service.label_studio.import_predictions(
        board.id,
        [
            {"task": top[0], "result": [], "score": 0.5, "model_version": name}
            for name in (past, recent, foreign)
        ],
    )
    (found,) = board.reconcile()
    assert f"Predictions of {past} were left over" in found
    service.wait(lambda: past not in board.stored(), "pruning of the past day")
    assert board.stored() == {version.name: 6, foreign: 1}
    assert board.kept_open() == 9 + 1


def test_only_predictions_of_tasks_that_may_be_open_are_kept(
    service: Service,
    make_board: MakeBoard,
    phantoms: list[Phantom],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    board = make_board(phantoms[:9])
    service.rest()
    first = board.published()
    assert first is not None
    order = [task for task, _ in board.order()]
    labelled = board.next_task()
    assert labelled == order[0]
    board.submit(labelled)
    streamed = board.next_task()
    assert streamed == order[1]
    monkeypatch.setattr(pruning, "TOP_TASKS", 2)
    with service.context() as context:
        pruning._keep_open_tasks(context, first)
    # The labelled task, the streamed and locked one, and the next two in the order.
    kept = {task for task in order if _names(board, task) == {open_name(board.id, now().date())}}
    assert kept == set(order[:4])

    # The editor shows a tab for each: at most two are kept if the task is not known to be open.
    for _ in range(3):
        again = [
            {"task": task, "result": [], "score": 0.5, "model_version": first.name} for task in order[:4]
        ]
        service.label_studio.import_predictions(board.id, again)
        with service.context() as context:
            pruning._keep_open_tasks(context, first)
    assert [len(board.predictions(task)) for task in order[:4]] == [2, 4, 2, 2]


def test_a_prune_makes_way_for_a_version_that_is_being_scored(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_board(phantoms[:6])
    service.settle()
    service.rest()
    version = board.published()
    assert version is not None
    past = open_name(board.id, now().date() - timedelta(days=2))
    tasks = [task for task, _ in board.order()]
    former = [{"task": task, "result": [], "score": 0.5, "model_version": past} for task in tasks]
    service.label_studio.import_predictions(board.id, former)
    with service.database.write() as session:
        newer = versions.create_successor(session, version, "A test scores it.")
    with service.context() as context:
        context.queues.request_publish(newer.id)
        assert pruning._prune_predictions(context, board.id), "its publication requests the next prune"
        assert board.stored()[past] == len(tasks), "Label Studio serves the newer version first"
        context.queues.forget_project(board.id, [newer.id])
        assert pruning._prune_predictions(context, board.id)
    assert board.stored() == {version.name: len(tasks)}


def _names(board: Board, task: int) -> set[str]:
    return {one["model_version"] for one in board.predictions(task)}
