"""A person sees on the page that a version is bad, rolls back with the keyboard, and Label Studio follows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from playwright.sync_api import Browser, Page, expect

from ml_backend.store import runs, versions
from ml_backend.store.models import Project, Version, VersionState, now
from model.research.phantom import draw_phantom
from model.weights import load_version, save_version
from tests.loop.board import Board
from tests.loop.service import AUTH, Service
from tests.receiver import Receiver

MOST_TABS = 40
"""Tab presses within which the keyboard must reach an action."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Where the notices of the worker go."""
    with Receiver() as receiver:
        yield receiver


@pytest.fixture
def board(service: Service, boards: list[Board], receiver: Receiver) -> Board:
    """A project with a version that was trained on three labels."""
    hands = [draw_phantom((5 * n) % 19, seed=n, size=(128, 160)) for n in range(10)]
    service.work(TRAIN_STEPS="10", NOTIFY_URL=receiver.url)
    boards.append(Board.connected(service, hands, "Rolled back"))
    board = boards[-1]
    service.wait(board.published, "the first order")
    board.annotate(3)
    board.await_round(1)
    return board


@pytest.fixture
def visit(browser: Browser, service: Service) -> Iterator[Page]:
    """A page of a browser that has the service's password; nothing may go wrong in its console."""
    context = browser.new_context(http_credentials={"username": AUTH[0], "password": AUTH[1]})
    page = context.new_page()
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    yield page
    context.close()
    assert said == []
    assert all(url.startswith(service.url) for url in asked)


def publish_noise(service: Service, board: Board, folder: Path) -> Version:
    """Publish a bad version: the present one with its weights shuffled by noise."""
    present = board.published()
    assert present is not None
    assert present.weights_hash is not None
    network, card = load_version(service.weights.get(present.weights_hash))
    torch.manual_seed(0)
    with torch.no_grad():
        for values in network.parameters():
            values.copy_(torch.randn_like(values))
    save_version(folder / "noise", network, card)
    key = service.weights.put(folder / "noise")
    with service.database.write() as session:
        bad = versions.create(
            session,
            session.get_one(Project, board.id),
            round=2,
            state=VersionState.SCORING,
            labels=present.labels,
            parent_id=present.id,
            weights_hash=key,
            labels_used=3,
        )
    with service.context() as context:
        context.queues.request_score_version(bad.id)
    service.wait(lambda: board.shown_version() == bad.name, "the bad version in Label Studio")
    service.settle()
    return bad


def told_to_stop(service: Service, board: Board) -> None:
    """Note that people were told to stop, as rounds before would have."""
    with service.database.write() as session:
        session.get_one(Project, board.id).told_to_stop_at = now()


def test_a_bad_version_is_rolled_back_and_label_studio_follows(
    service: Service, board: Board, visit: Page, receiver: Receiver, tmp_path: Path
) -> None:
    good = board.published()
    assert good is not None
    scores, order = board.scores(good), board.order()
    bad = publish_noise(service, board, tmp_path)
    assert board.order() != order

    visit.goto(f"{service.url}/")
    visit.get_by_role("link", name="Rolled back").click()
    expect(visit.locator("#part-top")).to_contain_text(bad.name)
    first = visit.locator(".pictures img").first
    expect(first).to_have_js_property("complete", True)
    assert first.evaluate("image => image.naturalWidth") > 0

    visit.on("dialog", lambda dialog: dialog.accept())
    for _ in range(MOST_TABS):
        visit.keyboard.press("Tab")
        if visit.evaluate("document.activeElement.id") == "rollback":
            break
    visit.keyboard.press("Enter")
    expect(visit.get_by_role("status")).to_contain_text(f"has the weights of {good.name}")
    again = board.await_round(3)
    expect(visit.locator("tr.present")).to_contain_text(again.name)

    assert (again.weights_hash, again.parent_id) == (good.weights_hash, good.id)
    assert board.shown_version() == again.name
    shown = board.order()
    assert [task for task, _ in shown] == [task for task, _ in order]
    for task, score in shown:
        assert score == pytest.approx(scores[task].score, abs=1e-6)
    service.settle()
    assert board.stored().keys() == {again.name}, "one whole order, and nothing of the bad version"

    told_to_stop(service, board)
    board.annotate(3)
    learned = board.await_round(4)
    assert learned.parent_id == again.id, "learning goes on from the version that was chosen"
    with service.database.read() as session:
        states = {one.name: one.state for one in versions.of_project(session, board.id)}
        last = runs.last(session, board.id)
    assert states[bad.name] is VersionState.SUPERSEDED
    assert last is not None
    assert last.version_id == learned.id
    service.settle()
    assert board.stored().keys() == {learned.name}
    expect(visit.locator("#jobs")).to_contain_text(f"{AUTH[0]}, by page")
    assert {message.get("version") for message in receiver.got} >= {
        good.name,
        bad.name,
        again.name,
        learned.name,
    }
    with service.database.read() as session:
        project = session.get_one(Project, board.id)
    assert project.told_to_stop_at is None, "two rounds cannot tell, which takes back what was told"

    visit.set_viewport_size({"width": 360, "height": 740})
    assert visit.evaluate("document.documentElement.scrollWidth") == 360, "a phone need not scroll sideways"
