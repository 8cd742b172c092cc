"""Two annotators label without a pause, in their browsers, while new versions are published."""

from __future__ import annotations

from functools import partial

import pytest
from playwright.sync_api import expect

from ml_backend.demo.label_studio import LabelStudioServer
from model.research.phantom import draw_phantom
from tests.browser.canvas import label_as_displayed, opened_task, stroke
from tests.browser.conftest import Person
from tests.connecting import connect
from tests.loop.board import Board
from tests.loop.service import AUTH, Service

STREAMING, CLICKING = "stream@example.com", "click@example.com"
MOST = 18
# After this many labels the annotators pause until another version is displayed: on a fast machine
# they would otherwise label every task before the first training ends.
PAUSE_EVERY = 4


@pytest.fixture
def board(service: Service, boards: list[Board]) -> Board:
    """A project for two annotators."""
    hands = [draw_phantom(age % 19, seed=age, size=(128, 160)) for age in range(24)]
    boards.append(Board.connected(service, hands, "Labelling on"))
    return boards[-1]


def test_no_annotator_waits_and_nothing_is_refused(
    service: Service,
    board: Board,
    server: LabelStudioServer,
    person: Person,
    refused: list[str],
) -> None:
    pages = {email: person(email) for email in (STREAMING, CLICKING)}
    service.work(ASSIGNMENT_SIZE="8", RETRAIN_EVERY="4", TRAIN_STEPS="10", SCORE_CHUNK="40")
    service.wait(board.published, "the first order")
    connect(
        service.label_studio,
        backend_url=service.url,
        project=board.id,
        basic_auth=AUTH,
        annotators=list(pages),
    )
    views = service.label_studio.annotators(board.id)
    with service.context() as context:
        context.queues.request_assignment(board.id)
    waiting = partial(service.label_studio.assigned, board.id)
    service.wait(lambda: all(len(waiting(email).waiting) == 8 for email in pages), "assignments")

    served: list[str] = []
    orders = {board.shown_version()}
    pages[STREAMING].goto(f"{server.url}/projects/{board.id}/data?tab={views[STREAMING]}")
    label_as_displayed(pages[STREAMING])
    while len(orders) < 3 and len(served) < MOST:
        for email, page in pages.items():
            if email == CLICKING:
                page.goto(f"{server.url}/projects/{board.id}/data?tab={views[email]}")
                page.get_by_test_id("table-row").first.click()
            submit = page.get_by_test_id("bottombar-submit-button")
            expect(submit).to_be_enabled()
            # The page shows the next task's id before its image.
            page.wait_for_timeout(700)
            served.append(opened_task(page).inner_text())
            stroke(page)
            with page.expect_response(lambda one: "/annotations" in one.url and one.request.method == "POST"):
                submit.click()
            page.wait_for_timeout(500)
        if len(served) % PAUSE_EVERY == 0:
            service.wait(lambda: board.shown_version() not in orders, "another version")
        orders.add(board.shown_version())

    assert not refused
    assert len(set(served)) == len(served) == len(board.labels())
    assert len(orders) > 1, "versions were published in between"
