"""The first task of a project of bones: nobody has labelled anything yet, and its mask is drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from playwright.sync_api import BrowserContext, expect

from ml_backend.demo.label_studio import LabelStudioServer
from ml_backend.label_studio.config import COLOURS
from model.consistency import dice
from model.research.phantom import draw_phantom
from tests.browser.canvas import hue_distance, label_as_displayed, opened_task, painted, resized, screen
from tests.loop.board import Board
from tests.loop.service import Service
from tests.people import PASSWORD, sign_up

ANNOTATOR = "first-day@example.com"


def test_the_first_task_of_an_annotator_opens_with_the_bones_drawn(
    server: LabelStudioServer,
    service: Service,
    boards: list[Board],
    log_in: Callable[[str, str, str], BrowserContext],
    pictures: Path | None,
) -> None:
    service.work(INITIAL_WEIGHTS="hand-bones", SCORE_CHUNK="5")
    hands = [draw_phantom(age, seed=age, size=(416, 520)) for age in (3, 6, 9, 12, 15)]
    boards.append(Board.connected(service, hands, "Finger bones"))
    (board,) = boards
    service.wait(board.published, "the first order")
    sign_up(server, ANNOTATOR)

    page = log_in(server.url, ANNOTATOR, PASSWORD).new_page()
    refused: list[str] = []
    page.on("response", lambda answer: refused.append(answer.url) if answer.status >= 400 else None)
    page.goto(f"{server.url}/projects/{board.id}/data?tab={board.view}")
    expect(page.get_by_test_id("table-row")).to_have_count(len(hands))
    label_as_displayed(page)
    first, _ = board.order()[0]
    expect(opened_task(page)).to_contain_text(f"{first}")
    expect(page.locator(".lsf-outliner-item__title").first).to_have_text("Bone")
    page.wait_for_timeout(1000)

    # Label Studio draws the label's colour half transparent, so only the hue can be compared.
    pixels = screen(page)
    drawn = painted(pixels)
    assert dice(drawn, resized(board.truth[first].mask > 0, drawn.shape) > 0) > 0.9
    assert np.median(hue_distance(pixels, COLOURS[0])[drawn]) < 5
    assert not refused
    assert not list(service.label_studio.labelled_tasks(board.id))
    if pictures is not None:
        # Deselect the brush, whose slider would cover the edge of the image.
        page.keyboard.press("v")
        page.screenshot(path=pictures / "first-task.png")
