"""Several projects in one service: independent, served in turn, archived, restored and purged."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from functools import partial

import pytest

from ml_backend.demo.label_studio import LabelStudioServer
from ml_backend.demo.processes import free_port
from ml_backend.store import labels_seen, projects
from ml_backend.store.models import RunState, Version
from model.research.phantom import Phantom
from tests.loop.board import Board, MakeBoard
from tests.loop.service import Service

pytestmark = pytest.mark.usefixtures("others_archived")

MakeConnected = Callable[..., Board]


@pytest.fixture
def make_connected(service: Service) -> Iterator[MakeConnected]:
    """A function that creates a connected project, with or without a running worker."""
    made: list[Board] = []

    def make(phantoms: Sequence[Phantom], *labels: str) -> Board:
        made.append(Board.connected(service, phantoms, "One of several", labels or ("Bone",)))
        return made[-1]

    yield make
    for board in made:
        service.label_studio.delete_project(board.id)


def stores_only(board: Board, version: Version) -> bool:
    """Whether all predictions in Label Studio are of this version."""
    return board.stored().keys() == {version.name}


def test_projects_of_different_kinds_learn_side_by_side(
    service: Service, make_connected: MakeConnected, phantoms: list[Phantom]
) -> None:
    one, two, broken = (
        make_connected(phantoms[:5]),
        make_connected(phantoms[5:11], "Nail", "Bone"),
        make_connected([]),
    )
    boards = (one, two, broken)
    client = service.label_studio
    dead = free_port()
    addresses = [f"http://127.0.0.1:{dead}/{number}.png" for number in range(4)]
    for number, task in enumerate(client.create_tasks(broken.id, [{"image": each} for each in addresses])):
        broken.truth[task] = phantoms[number]
    service.work()
    for board in boards:
        service.wait(board.published, "the first order")

    for turn in range(3):
        for board in (broken, one, two):
            assert board.annotate(1), f"annotation {turn} of project {board.id}"
    first, second = one.await_round(1), two.await_round(1)
    service.wait(lambda: broken.runs() and broken.runs()[0].state is RunState.FAILED, "the failure")
    assert "images are unavailable" in broken.runs()[0].message
    assert broken.shown_version() == broken.versions()[0].name

    # Each project has its own versions, splits and labels.
    assert (first.labels, second.labels) == (["Bone"], ["Nail", "Bone"])
    for board, version in ((one, first), (two, second)):
        assert version.labels_used == 3
        assert board.shown_version() == version.name
        service.wait(partial(stores_only, board, version), "pruning")
        tasks = set(board.truth)
        assert board.scores(version).keys() <= tasks
        with service.database.read() as session:
            assert labels_seen.split(session, board.id).keys() <= tasks
            assert labels_seen.labelled_tasks(session, board.id) <= tasks
    assert first.weights_hash != second.weights_hash

    # Simultaneous calls are answered by the version of their project.
    def ask(board: Board) -> set[str]:
        task = next(iter(board.truth))
        body = {"id": task, "data": client.task_data(board.id, [task])[task], "project": board.id}
        return {one["model_version"] for answer in board.predict([body]) for one in answer}

    service.wait(lambda: ask(one) and ask(two), "torch in the service")
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(ask, [one, two, broken] * 4))
    for number, names in enumerate(answers):
        expected = (first.name, second.name, broken.versions()[0].name)[number % 3]
        assert names <= {expected}


def test_a_large_project_does_not_delay_a_small_one(
    service: Service, make_connected: MakeConnected, phantoms: list[Phantom]
) -> None:
    service.rest()
    large, small = make_connected(phantoms[:10]), make_connected(phantoms[:3])
    image = next(iter(service.label_studio.task_data(large.id, list(large.truth)).values()))
    service.label_studio.create_tasks(large.id, [image] * 40)
    service.work()
    service.wait(lambda: large.published() and small.published(), "both orders")
    first, last = small.published(), large.published()
    assert first is not None
    assert last is not None
    assert first.published_at is not None
    assert last.published_at is not None
    # The large project was requested first, with thirteen chunks against one.
    assert last.created_at < first.created_at
    assert first.published_at < last.published_at
    assert len(large.order()) == 50
    assert all(score is not None for _, score in large.order())


@contextmanager
def hidden(server: LabelStudioServer, board: Board) -> Iterator[None]:
    """Move the project to an organisation of which the token's owner is not a member."""
    path = server.data_dir / "label_studio.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as database:
        query = "SELECT organization_id FROM project WHERE id = ?"
        (own,) = database.execute(query, (board.id,)).fetchone()
        move = "UPDATE project SET organization_id = ? WHERE id = ?"
        database.execute(move, (own + 1000, board.id))
        try:
            yield
        finally:
            database.execute(move, (own, board.id))


def test_a_project_that_disappears_is_archived_and_restored(
    service: Service, server: LabelStudioServer, make_board: MakeBoard, phantoms: list[Phantom]
) -> None:
    board = make_board(phantoms[:4])
    service.settle()
    order = board.order()
    with hidden(server, board):
        (found,) = board.reconcile()
        assert "no longer shows it: archived" in found
        assert board.reconcile() == []
        listed = " ".join(service.command("projects").stdout.split())
        assert "not in Label Studio" in listed
        asked = [{"id": task, "data": {}} for task in board.truth]
        assert board.predict(asked) == [[]] * 4
        refused = service.command("projects", "restore", str(board.id))
        assert (refused.returncode, refused.stdout) == (1, "")
        assert f"Project {board.id} does not exist" in refused.stderr
    assert board.reconcile() == [f"project {board.id}: Label Studio shows it again: restored."]
    assert board.order() == order
    assert board.reconcile() == []


def test_archive_restore_and_purge(service: Service, phantoms: list[Phantom]) -> None:
    board = Board.make(service, phantoms[:8])
    number = str(board.id)
    board.annotate(3)
    version = board.await_round(1)
    service.settle()
    key = version.weights_hash
    assert key is not None

    refused = service.command("projects", "purge", number, "--yes")
    assert refused.returncode == 1
    assert f"Project {number} is not archived" in refused.stderr

    # Archived by hand: events are stored, and nothing else happens.
    assert service.command("projects", "archive", number).returncode == 0
    board.annotate(3)
    service.wait(lambda: board.changes() == 3, "the events")
    service.settle()
    assert board.reconcile() == []
    assert len(board.runs()) == 1
    assert "by hand" in service.command("projects").stdout

    # Once restored, it trains on the labels made meanwhile.
    restored = service.command("projects", "restore", number)
    assert restored.returncode == 0, restored.stderr
    second = board.await_round(2)
    assert (second.labels_used, second.parent_id) == (6, version.id)
    service.settle()

    # Deleted in Label Studio, then purged here.
    service.label_studio.delete_project(board.id)
    assert "archived" in board.reconcile()[0]
    assert service.weights.contains(key)
    cached = service.settings.image_cache_dir / number
    assert cached.is_dir()
    unconfirmed = service.command("projects", "purge", number)
    assert unconfirmed.returncode == 130
    assert board.versions()
    purged = service.command("projects", "purge", number, "--yes")
    assert purged.returncode == 0, purged.stderr
    assert "with the weights of 2 versions" in purged.stdout
    assert not service.weights.contains(key)
    assert not cached.exists()
    with service.database.read() as session:
        assert projects.get(session, board.id) is None
        assert labels_seen.count(session, board.id) == 0
    assert (board.versions(), board.runs()) == ([], [])
