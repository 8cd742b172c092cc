"""Ten workers on one project, and a thousand events within two seconds of its training."""

from __future__ import annotations

import json
from collections import Counter

import pytest

from ml_backend.store.models import RunState
from model.research.phantom import Phantom
from tests.faults.promises import Record, Stopwatch, check, learned, watched
from tests.loop.board import MakeBoard
from tests.loop.clients import burst
from tests.loop.service import Service
from tests.measured import MEASURED

WORKERS = 10
EVENTS, SECONDS = 1000, 2.0


@pytest.mark.slow
def test_ten_workers_and_a_thousand_events_make_one_training_and_one_order(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom], record_property: Record
) -> None:
    board = make_board(phantoms[:12])
    settings = {"TRAIN_STEPS": "", "TRAIN_SECONDS": "8", "SCORE_CHUNK": "1"}
    service.work(**settings)
    others = [
        service._fork_server.worker(service.environment | settings, service.logs / f"worker-{number}.log")
        for number in range(1, WORKERS)
    ]
    try:
        stopwatch = Stopwatch(record_property, f"{WORKERS} workers, {EVENTS} events in {SECONDS:.0f} s")
        with watched(board) as mixed:
            board.annotate(3)
            service.wait(lambda: any("step" in run.message for run in board.runs()), "the training")
            project = service.label_studio.project(board.id)
            answers = burst(
                service.url, "/webhook", [event(project, number) for number in range(EVENTS)], SECONDS, 16
            )
            stopwatch.over()
            record_property(MEASURED, f"{EVENTS} events in {SECONDS:.0f} s while training: {answers}")
            assert Counter(answers.statuses) == {200: EVENTS}
            # The copies name annotations that do not exist; only this one is new.
            board.annotate(1)
            service.wait(lambda: learned(board) == 4 and not board.changes() and board.idle(), "the end")
        stopwatch.done(board, mixed)
        version = board.published()
        assert version is not None
        check(board, version)
        # One was running, and one more is for all events that it could not take in.
        assert [run.attempts for run in board.runs()] in ([1, 1], [1, 1, 1]), "each by one worker"
        assert all(run.state is RunState.FINISHED for run in board.runs())
    finally:
        for worker in others:
            worker.stop()


def event(project: dict[str, object], number: int) -> bytes:
    """An event about an annotation, as Label Studio posts it, without its regions."""
    annotation = {"id": 10**6 + number, "was_cancelled": False, "result": []}
    body = {"action": "ANNOTATION_CREATED", "project": project, "task": {"id": 1}, "annotation": annotation}
    return json.dumps(body).encode()
