"""kill -9 at the worst moments, and a lost Redis: nothing is lost or done twice."""

from __future__ import annotations

import json
import os
import shutil
import signal
from pathlib import Path

import psutil  # type: ignore[import-untyped]
from safetensors import safe_open

from ml_backend.store.models import RunState, TrainingRun
from model.research.phantom import Phantom
from model.training.checkpoint import FILE
from tests.loop.board import MakeBoard
from tests.loop.service import Service

STEPS = 120


def test_a_training_survives_its_worker(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_board(phantoms[:7])
    service.work(TRAIN_STEPS=str(STEPS))
    board.annotate(3)
    run = service.wait(lambda: next(iter(board.runs()), None), "the training")
    checkpoint = service.settings.checkpoint_dir / f"run-{run.id}" / "checkpoint" / FILE
    service.wait(checkpoint.is_file, "a checkpoint")
    children = service.kill_worker()
    assert len(children) >= 2, "the scheduler and the job"
    psutil.wait_procs(children, timeout=5)
    assert [child for child in children if child.is_running()] == []
    kept = _step(checkpoint)
    assert 20 <= kept < STEPS

    service.work(TRAIN_STEPS=str(STEPS))
    stale = board.runs()[0].message
    first = service.wait(lambda: _message(board.runs()[0], stale), "the training to continue")
    assert int(first.split()[1]) > kept, "the training continued from its checkpoint, not from the start"
    service.wait(lambda: board.runs()[0].state is not RunState.RUNNING, "the end of the training")
    (ended,) = board.runs()
    assert (ended.id, ended.state, ended.attempts) == (run.id, RunState.FINISHED, 2)
    version = board.await_round(1)
    assert version.metrics["steps"] == STEPS
    assert ended.version_id == version.id
    labelled = list(service.label_studio.tasks(board.id, unlabelled=False))
    assert ended.labels == version.labels_used == len(labelled) == 3
    assert [one.round for one in board.versions()] == [1, 0]
    assert not checkpoint.exists()


def _step(checkpoint: Path) -> int:
    with safe_open(checkpoint, framework="np") as file:
        return int(json.loads(file.metadata()["dsal"])["state"]["step"])


def _message(run: TrainingRun, stale: str) -> str | None:
    return run.message if run.attempts == 2 and run.message != stale else None


def test_a_worker_killed_after_writing_predictions_writes_none_twice(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_board(phantoms[:9])
    board.annotate(3)
    # The predictions are being sent to Label Studio; the worker cannot record that they arrived.
    writing = (
        "SELECT 1 FROM scores JOIN versions ON versions.id = version_id "
        "WHERE project_id = ? AND round = 1 AND scores.state = 'writing'"
    )
    with service.frozen_when(writing, board.id):
        (version,) = [one for one in board.versions() if one.round == 1]
        service.wait(lambda: version.name in board.stored(), "predictions in Label Studio", seconds=8)
        service.kill_worker()
    service.work()
    board.await_round(1)
    assert board.shown_version() == version.name
    assert board.duplicates(version.name) == []
    service.wait(lambda: board.stored() == {version.name: 6}, "pruning")


def test_a_lost_redis_loses_no_training(
    service: Service, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_board(phantoms[:6])
    service.rest()
    board.annotate(3)
    service.wait(lambda: board.changes() == 3, "the events")
    redis = service.settings.redis_dir
    os.kill(int((redis / "redis.pid").read_text()), signal.SIGKILL)
    for name in ("appendonly.aof", "appendonlydir"):
        shutil.rmtree(redis / name, ignore_errors=True)
        (redis / name).unlink(missing_ok=True)

    # Without Redis the service still accepts events.
    (late,) = board.annotate(1)
    service.wait(lambda: board.changes() == 4, "the event without Redis")
    assert service.call("GET", "/health").status_code == 200
    assert late

    service.work()
    version = board.await_round(1)
    assert version.labels_used == 4
    assert len(board.runs()) == 1

    # The service reconnects to the new Redis.
    board.annotate(2)
    service.label_studio.start_training(board.backend)
    assert board.await_round(2).labels_used == 6
