"""Faults of Label Studio: it is killed at a publication, refuses a token, or fails on one task."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator

import pytest

from ml_backend.demo.label_studio import LabelStudioServer
from ml_backend.store import projects
from ml_backend.store.models import RunState, VersionState
from ml_backend.store.version_names import version_name
from model.research.phantom import Phantom
from tests.faults.conftest import only_long
from tests.faults.gate import Call, Gate
from tests.faults.promises import Record, Stopwatch, check, watched
from tests.loop.board import MakeBoard
from tests.loop.service import Service

COMPARES = {"RECONCILE_SECONDS": "5", "TRAIN_STEPS": "20"}
"""A user's worker compares every 5 minutes; tests that need a comparison do not wait for so long."""


@pytest.fixture
def gate(server: LabelStudioServer) -> Iterator[Gate]:
    with Gate(server.url) as gate:
        yield gate


def test_label_studio_that_is_killed_at_the_publication_gets_it_when_it_is_back(
    service: Service,
    server: LabelStudioServer,
    make_board: MakeBoard,
    phantoms: list[Phantom],
    record_property: Record,
    is_long: bool,
) -> None:
    board = make_board(phantoms[:6])
    service.work(**COMPARES)
    away = 60.0 if is_long else 1.0
    stopwatch = Stopwatch(record_property, f"Label Studio killed and away for {away:.0f} s at publish")
    board.annotate(3)
    sent = (
        "SELECT 1 FROM versions WHERE project_id = ? AND round = 1 AND state = 'scoring' AND NOT EXISTS "
        "(SELECT 1 FROM scores WHERE version_id = versions.id AND state != 'written')"
    )
    with watched(board) as mixed:
        with service.frozen_when(sent, board.id):
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
        time.sleep(away)
        server.start()
        stopwatch.over()
        version = board.await_round(1)
    stopwatch.done(board, mixed)
    check(board, version)
    assert len(board.runs()) == 1, "nothing was trained twice"


@only_long
def test_a_token_that_expires_in_mid_training_is_renewed(
    service: Service, gate: Gate, make_board: MakeBoard, phantoms: list[Phantom], record_property: Record
) -> None:
    board = make_board(phantoms[:8])
    learning = {"LEARN_FROM": "2", "RETRAIN_EVERY": "4", "QUIET_SECONDS": "600", "TRAIN_STEPS": "20"}
    service.work(LABEL_STUDIO_URL=gate.url, **learning)
    board.annotate(2)
    run = service.wait(lambda: next((one for one in board.runs() if "waits" in one.message), None), "labels")
    expired = {call.authorization for call in gate.seen}
    stopwatch = Stopwatch(record_property, "token expired in mid-training")
    refused: list[str] = []

    def refuse(call: Call) -> int | None:
        if call.authorization is None or call.authorization not in expired:
            return None
        refused.append(call.path)
        return 401

    gate.refuse = refuse
    with watched(board) as mixed:
        board.annotate(2)
        version = board.await_round(1)
    assert refused
    stopwatch.done(board, mixed)
    check(board, version)
    (only,) = [one for one in board.runs() if one.version_id == version.id]
    assert (only.id, only.attempts) == (run.id, 1), "the training went on"


def test_one_task_on_which_label_studio_fails_is_that_task_s_problem(
    service: Service, gate: Gate, make_board: MakeBoard, phantoms: list[Phantom], record_property: Record
) -> None:
    board = make_board(phantoms[:7])
    service.work(LABEL_STUDIO_URL=gate.url, **COMPARES)
    tasks = [task for task, _ in board.order()]
    # Both are made from a prediction, which the training reads to learn how they came to be.
    for task in tasks[:3]:
        (shown,) = board.predictions(task)
        service.label_studio.submit_annotation(task, board.regions(task), parent_prediction=shown["id"])
    bad = tasks[0]
    stopwatch = Stopwatch(record_property, "HTTP 500 for one task's predictions")
    gate.refuse = lambda call: 500 if "predictions" in call.path and f"task={bad}" in call.query else None
    with watched(board) as mixed:
        version = board.await_round(1)
        service.wait(lambda: set(board.stored()) == {version.name}, "pruning")
    stopwatch.done(board, mixed)
    assert any(f"task={bad}" in call.query for call in gate.seen), "it was asked for"
    check(board, version)
    assert [one.state for one in board.runs()] == [RunState.FINISHED]
    message = board.runs()[0].message
    assert f"of task {bad}" in message
    assert "answers otherwise" in message

    # If Label Studio fails altogether, that is no task's problem: the training waits, and then learns all.
    gate.refuse = lambda _: 500
    board.annotate(3)
    service.wait(lambda: len(board.runs()) == 2 and board.runs()[0].state is RunState.FAILED, "the failure")
    assert board.runs()[0].passing
    gate.refuse = lambda _: None
    check(board, board.await_round(2))


def test_a_superseded_prediction_that_a_kill_left_goes_with_the_next_comparison(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom], record_property: Record
) -> None:
    board = make_board(phantoms[:8])
    first = board.published()
    assert first is not None
    board.annotate(3)
    version = board.await_round(1)
    service.wait(lambda: set(board.stored()) == {version.name}, "pruning")
    service.settle()
    service.rest()
    left = [task for task, _ in board.order()]
    # One of the database's former state, and one of a state that a backup does not know.
    with service.database.read() as session:
        project = projects.get(session, board.id)
        assert project is not None
        names = (first.name, version_name(board.id, 2, project.seed))
    rows = [
        {"task": task, "result": [], "score": 1.0, "model_version": name}
        for name in names
        for task in left[:2]
    ]

    # What a killed worker had sent, before and after another version was ready.
    service.label_studio.import_predictions(board.id, rows)
    stopwatch = Stopwatch(record_property, "predictions of a superseded version left by a kill")
    service.work(**COMPARES)
    service.wait(lambda: set(board.stored()) == {version.name}, "the comparison", seconds=60)
    stopwatch.done(board, [])
    check(board, version)
    assert next(one for one in board.versions() if one.id == first.id).state is VersionState.SUPERSEDED

    # The version that then gets that name is not taken for sent.
    board.annotate(3)
    second = board.await_round(2)
    assert second.name == names[1]
    check(board, second)
