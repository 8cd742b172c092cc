"""What people and accidents do to a project, and that a look at it puts the order back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from ml_backend.label_studio.blueprint import BACKEND_TITLE, VIEW_TITLE
from ml_backend.label_studio.http_client import HttpClient
from ml_backend.reconcile import reconcile
from ml_backend.reconcile.comparison import LOCK
from ml_backend.store.liveness import ProcessId
from model.research.phantom import Phantom
from tests.loop.board import Board
from tests.loop.service import AUTH, Service

pytestmark = pytest.mark.usefixtures("others_aside")


@pytest.fixture(scope="module")
def calm(service: Service, phantoms: list[Phantom]) -> Iterator[Board]:
    """A project in its first order, for which nothing is left to be done; each test leaves it so."""
    board = Board.make(service, phantoms[:6])
    service.settle()
    yield board
    service.label_studio.delete_project(board.id)


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every request that this process sends to Label Studio, as it is sent."""
    sent: list[str] = []
    send = HttpClient.send

    def record(self: HttpClient, request: httpx.Request, **options: Any) -> httpx.Response:
        sent.append(f"{request.method} {request.url.path}")
        return send(self, request, **options)

    monkeypatch.setattr(HttpClient, "send", record)
    return sent


def test_a_quiet_project_costs_five_requests(calm: Board, calls: list[str]) -> None:
    board = calm
    assert board.reconcile() == []
    calls.clear()
    assert board.reconcile() == []
    assert len(calls) == 5
    assert all(call.startswith("GET") for call in calls)
    assert board.reconcile(thorough=True) == []


def test_scores_that_label_studio_lost_or_has_twice(service: Service, calm: Board) -> None:
    board = calm
    client = service.label_studio
    version = board.published()
    assert version is not None
    order = board.order()
    tasks = [task for task, _ in order]
    foreign = [{"task": tasks[0], "result": [], "score": 0.5, "model_version": "mine"}] * 2
    client.import_predictions(board.id, foreign)
    assert board.reconcile(thorough=True) == []

    # Doubles enter the average, which turns the order round; the known score stays.
    doubles = [{"task": tasks[-1], "result": [], "score": 1.0, "model_version": version.name}] * 2
    client.import_predictions(board.id, doubles)
    assert board.order() != order
    (found,) = board.reconcile()
    assert f"2 predictions of {version.name} were doubles" in found
    assert board.order() == order
    assert board.stored() == {version.name: 6, "mine": 2}
    assert board.kept_open() == 2

    # "Delete predictions" in the Data Manager, for some tasks.
    service.ask_label_studio(
        "POST",
        "/api/dm/actions",
        params={"id": "delete_tasks_predictions", "project": board.id},
        json={"selectedItems": {"all": False, "included": tasks[1:3]}},
    )
    (found,) = board.reconcile()
    assert f"2 tasks had no score of {version.name}" in found
    service.wait(lambda: board.order() == order, "the scores")

    # The version is deleted in the settings, which also empties the project's model version.
    client.delete_model_version(board.id, version.name)
    assert client.project(board.id)["model_version"] is None
    (found,) = board.reconcile()
    assert f"6 tasks had no score of {version.name}" in found
    service.wait(lambda: board.order() == order, "the scores")
    assert board.shown_version() == version.name
    service.settle()
    assert board.reconcile(thorough=True) == []
    assert board.stored() == {version.name: 6, "mine": 2}
    client.delete_model_version(board.id, "mine")


def test_only_one_looks_at_a_time(service: Service, calm: Board) -> None:
    board = calm
    service.label_studio.patch_project(board.id, model_version="")
    with service.context() as context:
        looking = reconcile(context, board.id)
        assert "set back" in str(next(looking))
        second = service.command("reconcile")
        assert second.returncode == 1
        assert "Another process is comparing" in second.stderr
        assert list(looking) == []

        # One that was killed holds nobody up.
        me = ProcessId.current()
        context.queues.redis.set(LOCK, str(ProcessId(me.host, me.namespace, me.pid, me.started + 1)))
        assert board.reconcile() == []
        assert context.queues.redis.get(LOCK) is None


def test_a_worker_looks_by_itself(service: Service, calm: Board) -> None:
    board = calm
    order = board.order()
    service.rest()
    service.label_studio.patch_project(board.id, model_version="")
    assert board.order() != order
    service.work(RECONCILE_SECONDS="3600")
    service.wait(lambda: board.order() == order, "the order")
    service.wait(lambda: f"project {board.id}: Label Studio ordered by" in service.log("worker"), "the line")
    service.settle()
    service.work()


def test_the_order_survives_what_people_do(service: Service, calm: Board) -> None:
    board = calm
    client = service.label_studio
    version = board.published()
    assert version is not None
    order = board.order()
    assert board.reconcile() == []

    def mended(found: list[str], said: str) -> None:
        assert any(said in sentence for sentence in found), found
        assert board.order() == order
        assert board.next_task() == order[0][0]
        assert board.reconcile() == []

    # The model version is emptied; then the backend is deleted and added again, which puts its title there.
    client.patch_project(board.id, model_version="")
    client.delete_ml_backend(board.backend)
    user, password = AUTH
    access = {"auth_method": "BASIC_AUTH", "basic_auth_user": user, "basic_auth_pass": password}
    board.backend = client.create_ml_backend(board.id, service.url, BACKEND_TITLE, **access)["id"]
    assert board.shown_version() == BACKEND_TITLE
    assert [score for _, score in board.order()] == [None] * 6
    mended(board.reconcile(), f'model version "{BACKEND_TITLE}": set back to {version.name}')

    # The backend is renamed: nothing is lost, nothing to do.
    client.patch_ml_backend(board.backend, board.id, service.url, title="Bones!", **access)
    assert board.order() == order
    assert board.reconcile() == []

    # Somebody imports predictions of another model and has Label Studio order by them.
    foreign = [{"task": task, "result": [], "score": 0.5, "model_version": "mine"} for task, _ in order]
    client.import_predictions(board.id, foreign)
    client.patch_project(board.id, model_version="mine")
    mended(board.reconcile(), 'model version "mine": set back')
    assert board.stored() == {version.name: 6, "mine": 6}

    # The sampling is set to the tempting choice; hiding the masks is for people to choose.
    client.patch_project(board.id, sampling="Uncertainty sampling", show_collab_predictions=False)
    mended(board.reconcile(), 'sampling was "Uncertainty sampling"')
    fields = client.project(board.id)
    assert (fields["sampling"], fields["show_collab_predictions"]) == ("Sequential sampling", False)

    # The view is turned round, and then deleted.
    (view,) = client.views(board.id)
    client.patch_view(board.view, board.id, {**view["data"], "ordering": ["tasks:id"], "filters": {}})
    mended(board.reconcile(), "had another order or filter")
    client.delete_view(board.view)
    found = board.reconcile()
    (made,) = client.views(board.id)
    assert made["data"]["title"] == VIEW_TITLE
    board.view = made["id"]
    mended(found, f'The view "{VIEW_TITLE}" was gone')

    # A person's own name for it is left to the person.
    client.patch_view(board.view, board.id, {**made["data"], "title": "Today"})
    assert board.reconcile() == []
    assert [one["data"]["title"] for one in client.views(board.id)] == ["Today"]

    # Disconnected, the project is still served: its webhook stays, and tells of annotations.
    client.delete_ml_backend(board.backend)
    assert board.reconcile() == []
    assert board.order() == order
    board.submit(order[0][0])
    service.wait(lambda: board.changes() == 1, "the event")
