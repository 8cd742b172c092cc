"""Pages that are open while a version is published: what an annotator sees there can still be submitted."""

from __future__ import annotations

from functools import partial

import pytest
from playwright.sync_api import expect

from model.research.phantom import draw_phantom
from tests.browser.canvas import label_as_displayed, opened_task, painted, screen, stroke
from tests.browser.conftest import Person
from tests.loop.board import Board
from tests.loop.service import Service

SUBMIT, UPDATE = "bottombar-submit-button", "bottombar-update-button"


@pytest.fixture
def drawn_board(service: Service, boards: list[Board]) -> Board:
    """A project whose published version draws masks."""
    hands = [draw_phantom(age, seed=age, size=(128, 160)) for age in range(14)]
    board = Board.make(service, hands, "Open pages")
    boards.append(board)
    # Submitting many brush regions takes a page longer than these tests wait.
    service.work(SMALLEST_REGION="0.01", MAX_REGIONS="5")
    board.annotate(3)
    board.await_round(1)
    return board


def test_what_is_open_can_be_submitted_after_the_next_version_is_published(
    service: Service, drawn_board: Board, person: Person, refused: list[str]
) -> None:
    board, former = drawn_board, drawn_board.shown_version()
    streaming, clicking, updating = person("stream@x.org"), person("click@x.org"), person("update@x.org")
    address = f"{service.label_studio.url}/projects/{board.id}/data?tab={board.view}"

    streaming.goto(address)
    label_as_displayed(streaming)
    streamed, clicked, updated = (task for task, _ in board.order()[:3])
    expect(opened_task(streaming)).to_contain_text(f"{streamed}")
    for page, row in ((clicking, 1), (updating, 2)):
        page.goto(address)
        page.get_by_test_id("table-row").nth(row).click()
    expect(opened_task(clicking)).to_contain_text(f"{clicked}")
    expect(opened_task(updating)).to_contain_text(f"{updated}")
    updating.get_by_test_id(SUBMIT).click()
    update = updating.get_by_test_id(UPDATE)
    expect(update).to_be_visible()
    submitted = board.labels()[updated]

    for task in [task for task, _ in board.order()][-2:]:
        board.submit(task)
    version = board.await_round(2)
    assert version.name != former
    service.wait(lambda: former not in board.stored(), "pruning of the former version")

    for page in (streaming, clicking):
        stroke(page)
        page.get_by_test_id(SUBMIT).click()
    labelled = partial(service.label_studio.labelled_now, board.id, [streamed, clicked])
    service.wait(lambda: labelled() == {streamed, clicked}, "what was submitted")
    stroke(updating)
    update.click()
    service.wait(lambda: board.labels()[updated] != submitted, "the stroke of the update")
    assert not refused


def test_what_is_opened_before_the_first_order_is_drawn_and_can_be_submitted_after_it(
    service: Service, boards: list[Board], person: Person, refused: list[str]
) -> None:
    service.work(INITIAL_WEIGHTS="hand-bones")
    hands = [draw_phantom(age, seed=age, size=(416, 520)) for age in (4, 8, 12)]
    board = Board.connected(service, hands, "First minutes")
    boards.append(board)
    service.wait(board.versions, "the first version")
    service.rest()
    assert board.published() is None

    task = min(board.truth)
    (data,) = service.label_studio.task_data(board.id, [task]).values()
    asked = [{"id": task, "data": data, "project": board.id}]
    # The service's first call may take longer, as it loads torch and the weights.
    service.wait(lambda: board.predict(asked)[0], "an answer in time")
    page = person("early@x.org")
    page.goto(f"{service.label_studio.url}/projects/{board.id}/data?tab={board.view}")
    page.get_by_test_id("table-row").first.click()
    expect(opened_task(page)).to_contain_text(f"{task}")
    expect(page.locator(".lsf-outliner-item__title").first).to_have_text("Bone")
    page.wait_for_timeout(1000)
    assert painted(screen(page)).mean() > 0.05

    service.work(INITIAL_WEIGHTS="hand-bones")
    service.wait(board.published, "the first order")
    page.get_by_test_id(SUBMIT).click()
    service.wait(lambda: service.label_studio.labelled_now(board.id, [task]), "what was submitted")
    assert not refused
    assert all(score is not None for _, score in board.order())
