"""A disk without a byte left: what was there stays whole, and work goes on as soon as there is room."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from ml_backend.demo.label_studio import LabelStudioServer
from ml_backend.items import is_outside
from ml_backend.store import projects
from ml_backend.store.database import Database
from ml_backend.store.weights import WeightStore
from model.network import DeeplySupervisedUNet, NetworkSettings
from model.research.phantom import Phantom
from model.training.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from model.training.dataset import Example
from model.training.run import train
from model.training.settings import TrainingSettings
from tests.faults.disk import full
from tests.faults.promises import Record, Stopwatch, check, learned, watched
from tests.loop.board import Board
from tests.loop.service import Service

SmallDisk = Callable[[int], Path]


def checkpoint(step: float) -> Checkpoint:
    return Checkpoint({"a": torch.full((20_000,), step)}, {"step": step})


@pytest.fixture
def small_service(server: LabelStudioServer, small_disk: SmallDisk, tmp_path: Path) -> Iterator[Service]:
    """A service whose MODEL_DIR is on a disk of 48 MB of its own; its logs are not."""
    disk = small_disk(48 * 2**20)
    service = Service(server, tmp_path / "service")
    service.environment |= {"MODEL_DIR": str(disk / "data"), "RECONCILE_SECONDS": "5", "TRAIN_STEPS": "60"}
    service._server.environment = service.environment
    service.settings = service.settings.model_copy(update={"model_dir": disk / "data"})
    service.start()
    yield service
    service.stop()


def note_many(database: Database) -> None:
    with database.write() as session:
        for number in range(200):
            projects.note(session, number + 1, "<View/>" * 100, "A title", seed=0)


def test_files_stay_whole_and_can_be_written_once_there_is_room(
    small_disk: SmallDisk, tmp_path: Path
) -> None:
    disk = small_disk(2**20)
    first, second = checkpoint(1.0), checkpoint(2.0)
    save_checkpoint(disk / "checkpoint", first, fingerprint="run")
    store, version = WeightStore(f"file://{disk}/store", disk / "cache"), tmp_path / "version"
    version.mkdir()
    (version / "weights").write_bytes(b"w" * 80_000)

    with full(disk):
        with pytest.raises(OSError, match="No space left") as error:
            save_checkpoint(disk / "checkpoint", second, fingerprint="run")
        assert error.value.errno == errno.ENOSPC
        assert is_outside(error.value), "the job waits until there is room"
        with pytest.raises(OSError, match="No space left"):
            store.put(version)
        assert [path for path in (disk / "store").rglob("*") if path.is_file()] == []
    found = load_checkpoint(disk / "checkpoint", fingerprint="run")
    assert found is not None
    assert found.state == {"step": 1.0}
    assert [path.name for path in (disk / "checkpoint").iterdir()] == ["checkpoint.safetensors"]

    save_checkpoint(disk / "checkpoint", second, fingerprint="run")
    key = store.put(version)
    assert store.is_whole(key)
    with full(disk), pytest.raises(OSError, match="No space left"):
        store.get(key)
    assert (store.get(key) / "weights").read_bytes() == b"w" * 80_000


def test_a_database_takes_nothing_by_halves(small_disk: SmallDisk) -> None:
    disk = small_disk(2**20)
    database = Database(f"sqlite:///{disk}/dsal.sqlite3")
    try:
        with full(disk), pytest.raises(OperationalError, match="full") as error:
            note_many(database)
        assert is_outside(error.value)
        with database.write() as session:
            assert projects.all_projects(session) == []
            projects.note(session, 7, "<View/>", "A title", seed=0)
            assert session.scalar(text("PRAGMA integrity_check")) == "ok"
        with database.read() as session:
            assert [one.id for one in projects.all_projects(session)] == [7]
    finally:
        database.close()


def test_a_training_outlasts_a_disk_that_is_full_for_a_while(
    small_disk: SmallDisk, caplog: pytest.LogCaptureFixture
) -> None:
    disk = small_disk(2**20)
    image = np.zeros((32, 32), np.uint8)
    image[8:24, 8:24] = 200
    examples = [Example("1", image, (image > 0).astype(np.uint8))]
    settings = TrainingSettings(steps=6, checkpoint_every=2, seed=0)
    with full(disk):
        result = train(
            examples,
            [],
            labels=("Bone",),
            network=NetworkSettings(classes=2, width=2, levels=3),
            settings=settings,
            checkpoints=disk / "run",
        )
    assert result.steps == 6
    assert isinstance(result.network, DeeplySupervisedUNet)
    assert "was not written" in caplog.text


@pytest.mark.slow
def test_a_service_whose_disk_was_full_learns_all_labels_once_there_is_room(
    small_service: Service, phantoms: list[Phantom], record_property: Record, is_long: bool
) -> None:
    service = small_service
    disk = service.settings.model_dir.parent
    board = Board.make(service, phantoms[:7])
    seconds = 60.0 if is_long else 6.0
    stopwatch = Stopwatch(record_property, f"disk full for {seconds:.0f} s in mid-training")
    try:
        with watched(board) as mixed:
            board.annotate(3)
            service.wait(lambda: any("step" in run.message for run in board.runs()), "the training")
            with full(disk):
                # Neither this event nor a checkpoint can be stored.
                board.annotate(1)
                time.sleep(seconds)
            stopwatch.over()
            service.wait(lambda: learned(board) == 4 and board.idle(), "a version of all four labels")
        version = board.published()
        assert version is not None
        stopwatch.done(board, mixed)
        check(board, version)
        assert service.weights.is_whole(str(version.weights_hash))
    finally:
        service.label_studio.delete_project(board.id)
