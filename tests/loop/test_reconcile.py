"""Changes by people and accidents, and how reconciling repairs the order."""

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

pytestmark = pytest.mark.usefixtures("others_archived")


@pytest.fixture(scope="module")
def idle(service: Service, phantoms: list[Phantom]) -> Iterator[Board]:
    """A project in its first order without waiting jobs; each test leaves it in that state."""
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


def test_a_quiet_project_costs_five_requests(idle: Board, calls: list[str]) -> None:
    board = idle
    assert board.reconcile() == []
    calls.clear()
    assert board.reconcile() == []
    assert len(calls) == 5
    assert all(call.startswith("GET") for call in calls)
    assert board.reconcile(thorough=True) == []


def test_lost_and_duplicate_scores(service: Service, idle: Board) -> None:
    board = idle
    client = service.label_studio
    version = board.published()
    assert version is not None
    order = board.order()
    tasks = [task for task, _ in order]
    foreign = [{"task": tasks[0], "result": [], "score": 0.5, "model_version": "mine"}] * 2
    client.import_predictions(board.id, foreign)
    assert board.reconcile(thorough=True) == []

    # Label Studio averages duplicates, which changes the order; the prediction with the known score is kept.
    duplicates = [{"task": tasks[-1], "result": [], "score": 1.0, "model_version": version.name}] * 2
    client.import_predictions(board.id, duplicates)
    assert board.order() != order
    (found,) = board.reconcile()
    assert f"2 predictions of {version.name} were duplicates" in found
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
    # Scores are noted as written after Label Studio has them.
    service.settle()

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


def test_only_one_process_compares_at_a_time(service: Service, idle: Board) -> None:
    board = idle
    service.label_studio.patch_project(board.id, model_version="")
    with service.context() as context:
        findings = reconcile(context, board.id)
        assert "reset" in str(next(findings))
        second = service.command("reconcile")
        assert second.returncode == 1
        assert "Another process is comparing" in second.stderr
        assert list(findings) == []

        # The lock of a killed process is broken.
        me = ProcessId.current()
        context.queues.redis.set(LOCK, str(ProcessId(me.host, me.namespace, me.pid, me.started + 1)))
        assert board.reconcile() == []
        assert context.queues.redis.get(LOCK) is None


def test_a_worker_reconciles_by_itself(service: Service, idle: Board) -> None:
    board = idle
    order = board.order()
    service.rest()
    service.label_studio.patch_project(board.id, model_version="")
    assert board.order() != order
    service.work(RECONCILE_SECONDS="3600")
    service.wait(lambda: board.order() == order, "the order")
    service.wait(lambda: f"project {board.id}: Label Studio ordered by" in service.log("worker"), "the line")
    service.settle()
    service.work()


def test_the_order_survives_what_people_do(service: Service, idle: Board) -> None:
    board = idle
    client = service.label_studio
    version = board.published()
    assert version is not None
    order = board.order()
    assert board.reconcile() == []

    def check_repaired(found: list[str], text: str) -> None:
        assert any(text in sentence for sentence in found), found
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
    check_repaired(board.reconcile(), f'model version "{BACKEND_TITLE}": reset to {version.name}')

    # The backend is renamed, which has no effect.
    client.patch_ml_backend(board.backend, board.id, service.url, title="Bones!", **access)
    assert board.order() == order
    assert board.reconcile() == []

    # Somebody imports predictions of another model and makes Label Studio order by them.
    foreign = [{"task": task, "result": [], "score": 0.5, "model_version": "mine"} for task, _ in order]
    client.import_predictions(board.id, foreign)
    client.patch_project(board.id, model_version="mine")
    check_repaired(board.reconcile(), 'model version "mine": reset')
    assert board.stored() == {version.name: 6, "mine": 6}

    # The sampling is changed, which is repaired; hiding the masks is a choice that is left alone.
    client.patch_project(board.id, sampling="Uncertainty sampling", show_collab_predictions=False)
    check_repaired(board.reconcile(), 'sampling was "Uncertainty sampling"')
    fields = client.project(board.id)
    assert (fields["sampling"], fields["show_collab_predictions"]) == ("Sequential sampling", False)

    # The view is changed, then deleted.
    (view,) = client.views(board.id)
    client.patch_view(board.view, board.id, {**view["data"], "ordering": ["tasks:id"], "filters": {}})
    check_repaired(board.reconcile(), "had another order or filter")
    client.delete_view(board.view)
    found = board.reconcile()
    (made,) = client.views(board.id)
    assert made["data"]["title"] == VIEW_TITLE
    board.view = made["id"]
    check_repaired(found, f'The view "{VIEW_TITLE}" was missing')

    # A renamed view is left alone.
    client.patch_view(board.view, board.id, {**made["data"], "title": "Today"})
    assert board.reconcile() == []
    assert [one["data"]["title"] for one in client.views(board.id)] == ["Today"]

    # Without the backend the project is still served: its webhook remains and reports annotations.
    client.delete_ml_backend(board.backend)
    assert board.reconcile() == []
    assert board.order() == order
    board.submit(order[0][0])
    service.wait(lambda: board.changes() == 1, "the event")
