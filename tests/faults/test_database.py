"""A locked database, and a stop, in mid-training: no label is lost and the training goes on where it was."""

from __future__ import annotations

import json
import sqlite3
import time
from contextlib import closing
from pathlib import Path

import pytest
from safetensors import safe_open

from ml_backend.store.models import RunState
from model.research.phantom import Phantom
from model.training.checkpoint import FILE
from tests.faults.conftest import only_long
from tests.faults.promises import Record, Stopwatch, check, learned, watched
from tests.loop.board import Board, MakeBoard
from tests.loop.service import Service

STEPS = 60
WORK = {"TRAIN_STEPS": str(STEPS), "RECONCILE_SECONDS": "5"}


@pytest.mark.slow
def test_a_locked_database_and_a_stop_in_mid_training(
    service: Service,
    make_board: MakeBoard,
    phantoms: list[Phantom],
    record_property: Record,
    is_long: bool,
) -> None:
    board = make_board(phantoms[:7])
    service.work(**WORK)
    # Longer than the 10 s that a writer waits.
    seconds = 60.0 if is_long else 12.0
    stopwatch = Stopwatch(record_property, f"database locked for {seconds:.0f} s")
    with watched(board) as mixed:
        board.annotate(3)
        run = service.wait(lambda: next(iter(board.runs()), None), "the training")
        checkpoint = service.settings.checkpoint_dir / f"run-{run.id}" / "checkpoint" / FILE
        service.wait(checkpoint.is_file, "a checkpoint")
        path = service.settings.model_dir / "dsal.sqlite3"
        with closing(sqlite3.connect(path, isolation_level=None, timeout=10)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            ends = time.monotonic() + seconds
            # Its event cannot be stored; Label Studio, which waits for a second, shows the annotator nothing.
            late = board.annotate(1)
            assert service.call("GET", "/health").status_code == 200
            time.sleep(max(0.0, ends - time.monotonic()))
            connection.execute("ROLLBACK")
        stopwatch.over()
        service.wait(lambda: _ended(board), "the end of the training")
        service.wait(lambda: learned(board) == 4 and board.idle(), "the label without an event")
    version = board.published()
    assert version is not None
    stopwatch.done(board, mixed)
    check(board, version)
    assert late
    # Only a training that had to write its version for longer than a writer waits begins anew.
    assert all(one.attempts <= 2 for one in board.runs())


def _ended(board: Board) -> bool:
    return all(run.state is not RunState.RUNNING for run in board.runs())


@only_long
@pytest.mark.slow
def test_a_stop_in_mid_training_loses_only_the_steps_since_the_checkpoint(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom], record_property: Record
) -> None:
    board = make_board(phantoms[:7])
    service.work(**WORK)
    stopwatch = Stopwatch(record_property, "SIGTERM in mid-training")
    with watched(board) as mixed:
        board.annotate(3)
        run = service.wait(lambda: next(iter(board.runs()), None), "the training")
        checkpoint = service.settings.checkpoint_dir / f"run-{run.id}" / "checkpoint" / FILE
        service.wait(checkpoint.is_file, "a checkpoint")
        service.rest()
        kept = _step(checkpoint)
        assert 0 < kept < STEPS
        stale = board.runs()[0].message
        service.work(**WORK)
        stopwatch.over()
        first = service.wait(
            lambda: next((one.message for one in board.runs() if one.message != stale), None), "its next step"
        )
        assert int(first.split()[1]) > kept
        version = board.await_round(1)
    stopwatch.done(board, mixed)
    check(board, version)
    (only,) = board.runs()
    assert (only.id, only.attempts, version.metrics["steps"]) == (run.id, 2, STEPS)


def _step(checkpoint: Path) -> int:
    with safe_open(checkpoint, framework="np") as file:
        return int(json.loads(file.metadata()["dsal"])["state"]["step"])
