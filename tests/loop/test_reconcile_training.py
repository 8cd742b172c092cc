"""Trainings after lost weights, missed webhooks, lost queues and unavailable images."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path

import pytest

from ml_backend.demo.processes import free_port
from ml_backend.queue.kinds import TRAIN
from ml_backend.store.models import TrainingRun, now
from model.research.phantom import Phantom
from tests.file_server import serve_folder
from tests.loop.board import Board, MakeBoard, png
from tests.loop.service import Service

pytestmark = pytest.mark.usefixtures("others_archived")


@pytest.fixture(scope="module")
def trained(service: Service, phantoms: list[Phantom]) -> Iterator[Board]:
    """A project with three labels and a version trained on them."""
    board = Board.make(service, phantoms[:8])
    board.annotate(3)
    board.await_round(1)
    service.settle()
    yield board
    service.label_studio.delete_project(board.id)


def test_failed_images_are_retried(
    service: Service, trained: Board, phantoms: list[Phantom], tmp_path: Path
) -> None:
    board = trained
    client = service.label_studio
    back, missing = tmp_path / "back", tmp_path / "missing"
    for folder in (back, missing):
        folder.mkdir()
    port = free_port()
    with serve_folder(missing) as there:
        addresses = [f"http://127.0.0.1:{port}/{name}.png" for name in ("a", "b")]
        offline = client.create_tasks(board.id, [{"image": address} for address in addresses])
        (missing_task,) = client.create_tasks(board.id, [{"image": f"{there}/c.png"}])
        # The next test labels whatever the order puts first, and that may be one of these.
        board.truth |= dict.fromkeys((*offline, missing_task), phantoms[5])
        version = board.published()
        assert version is not None
        service.wait(lambda: len(board.scores(version)) == 8 and board.idle(), "the scores of the new tasks")
        rows = board.scores(version)
        assert {task for task, row in rows.items() if row.error} == {*offline, missing_task}
        assert {task for task, row in rows.items() if row.retry_at} == set(offline)
        service.settle()
        stored = board.stored()
        assert stored == {version.name: 8}

        # Still unavailable: predictions are unchanged, and the next retry is later. A missing one is left.
        assert board.reconcile() == [
            f"project {board.id}: 2 images could not be read: a retry was requested."
        ]
        service.wait(
            lambda: all(board.scores(version)[task].tries == 2 for task in offline), "the second try"
        )
        service.settle()
        assert board.stored() == stored
        assert board.reconcile() == []

        # All images are available again, and a person retries all of them.
        for folder, name in ((back, "a"), (back, "b"), (missing, "c")):
            (folder / f"{name}.png").write_bytes(png(phantoms[5].image))
        with serve_folder(back, port):
            again = service.command("reconcile", "--project", str(board.id), "--failed-images")
            assert again.returncode == 0, again.stderr
            assert "3 images could not be read" in again.stdout
            service.wait(lambda: not any(row.error for row in board.scores(version).values()), "the images")
            service.settle()
    rows, order = board.scores(version), dict(board.order())
    for task in (*offline, missing_task):
        assert rows[task].l_dsc is not None
        assert order[task] == pytest.approx(rows[task].score, abs=1e-6)
    assert board.stored() == stored
    assert board.duplicates(version.name) == []
    assert board.reconcile(thorough=True) == []


def test_lost_weights(service: Service, trained: Board) -> None:
    board = trained
    version = board.published()
    assert version is not None
    key = version.weights_hash
    assert key is not None
    order = board.order()
    folder = service.settings.model_dir / "store" / key

    # This machine still has a copy in its cache.
    shutil.rmtree(folder)
    (found,) = board.reconcile()
    assert "restored from this machine's cache" in found
    assert service.weights.contains(key)
    assert board.reconcile() == []

    # Nobody has a copy: the order is kept, and a training starts from scratch.
    service.weights.delete(key)
    (found,) = board.reconcile()
    assert f"The weights of {version.name} are missing from the store" in found
    assert board.order() == order
    assert "weights of this version are gone" in " ".join(service.command("status").stdout.split())
    second = board.await_round(2)
    assert (second.state, second.parent_id, second.labels_used) == ("published", None, 3)
    assert board.shown_version() == second.name
    service.settle()
    assert board.reconcile() == []


def test_label_changes_without_a_webhook(service: Service, trained: Board, phantoms: list[Phantom]) -> None:
    board = trained
    client = service.label_studio
    number = board.versions()[0].round
    first, second = (task.annotations[0].id for task in islice(client.labelled_tasks(board.id), 2))
    assert board.reconcile() == []

    with service.stopped():
        drawn = board.regions(board.next_task() or 0)
        client.patch_annotation(first, drawn)
        client.delete_annotation(second)
        board.annotate(1)
        imported = {"data": {"image": _image(board)}, "annotations": [{"result": drawn}]}
        service.ask_label_studio("POST", f"/api/projects/{board.id}/import", json=[imported])
        (late,) = board.add(phantoms[8:9])
    assert board.changes() == 0
    found = board.reconcile()
    assert [sentence for sentence in found if "label changes" in sentence] == [
        f"project {board.id}: 4 label changes had not been reported: noted for the next training."
    ]
    assert any("had no score" in sentence for sentence in found)
    assert board.await_round(number + 1).labels_used == 4
    assert late in dict(board.order())
    assert all(score is not None for _, score in board.order())
    service.settle()
    assert board.reconcile() == []
    assert board.changes() == 0

    # The same for tasks that were deleted with their labels.
    with service.stopped():
        client.delete_task(next(client.tasks(board.id, unlabelled=False)).id)
    (noted,) = [sentence for sentence in board.reconcile() if "label changes" in sentence]
    assert "1 label changes" in noted
    assert board.changes() == 1


def test_a_training_that_failed_because_of_unavailable_images(
    service: Service, make_quiet: MakeBoard, phantoms: list[Phantom], tmp_path: Path
) -> None:
    board = make_quiet(phantoms[:3])
    port = free_port()
    addresses = [f"http://127.0.0.1:{port}/{number}.png" for number in range(3)]
    for number, task in enumerate(
        service.label_studio.create_tasks(board.id, [{"image": each} for each in addresses])
    ):
        board.truth[task] = phantoms[number]
        (tmp_path / f"{number}.png").write_bytes(png(phantoms[number].image))
        board.submit(task)
    service.wait(lambda: board.runs() and board.runs()[0].state == "failed", "the failure")

    assert "3 of 3 labelled images are unavailable" in board.runs()[0].message

    # The queue has no retries left, and an hour has passed.
    with service.context() as context:
        (training,) = [queue for queue in context.queues.all() if queue.name == TRAIN]
        retries = training.scheduled_job_registry
        service.wait(lambda: f"train-{board.id}" in retries.get_job_ids(), "the scheduled retry")
        context.queues.forget_project(board.id, [])
    assert board.reconcile() == []
    with service.database.write() as session:
        session.get_one(TrainingRun, board.runs()[0].id).finished_at = now() - timedelta(hours=1)
    with serve_folder(tmp_path, port):
        (found,) = board.reconcile()
        assert "A training failed: requested again. 3 of 3 labelled images" in found
        assert board.await_round(1).labels_used == 3


def test_a_lost_queue_is_filled_again(
    service: Service, make_quiet: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_quiet(phantoms[:5])
    service.rest()
    board.annotate(3)
    added = board.add(phantoms[5:7])
    service.wait(lambda: board.changes() == 3, "the events")
    with service.context() as context:
        service.wait(lambda: context.queues.training_waits(board.id), "the training")
        context.queues.redis.flushall()
        assert sum(context.queues.depths().values()) == 0
        found = board.reconcile()
        assert "queue: 1 jobs were missing" in found[0]
        assert "2 tasks had no score" in found[1]
        assert context.queues.training_waits(board.id)
    service.work()
    board.await_round(1)
    assert set(added) <= dict(board.order()).keys()
    assert all(score is not None for _, score in board.order())


def _image(board: Board) -> str:
    task = next(iter(board.truth))
    return str(board.service.label_studio.task_data(board.id, [task])[task]["image"])
