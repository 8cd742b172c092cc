"""The first task of a project of bones: nobody has labelled anything yet, and its mask is drawn."""

from __future__ import annotations

from typing import Any

import numpy as np
from playwright.sync_api import expect

from ml_backend.demo.label_studio import LabelStudioServer
from ml_backend.label_studio.config import COLOURS
from ml_backend.learn.edits import note_edits
from ml_backend.learn.labels import choose
from ml_backend.store.states import Provenance
from model.consistency import dice
from model.research.phantom import draw_phantom
from tests.browser.canvas import hue_distance, label_as_displayed, opened_task, painted, resized, screen
from tests.browser.conftest import Person, Shoot
from tests.loop.board import Board
from tests.loop.service import Service

ANNOTATOR = "first-day@example.com"


def shown(board: Board, task: int) -> list[dict[str, Any]]:
    """The regions of the published version's prediction of a task."""
    version = board.shown_version()
    (result,) = (one["result"] for one in board.predictions(task) if one["model_version"] == version)
    return list(result)


def test_the_first_task_of_an_annotator_opens_with_the_bones_drawn(
    server: LabelStudioServer,
    service: Service,
    boards: list[Board],
    person: Person,
    refused: list[str],
    shoot: Shoot,
) -> None:
    service.work(INITIAL_WEIGHTS="hand-bones", SCORE_CHUNK="5")
    hands = [draw_phantom(age, seed=age, size=(416, 520)) for age in (3, 6, 9, 12, 15)]
    boards.append(Board.connected(service, hands, "Finger bones"))
    (board,) = boards
    service.wait(board.published, "the first order")
    page = person(ANNOTATOR)
    page.goto(f"{server.url}/projects/{board.id}/data?tab={board.view}")
    expect(page.get_by_test_id("table-row")).to_have_count(len(hands))
    for row in page.get_by_test_id("table-row").all():
        expect(row).to_contain_text("[{meta: {text: [Estimated DSC as drawn: ")
    shoot(page, "estimates")
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
    (region, *_) = shown(board, first)
    beside = page.locator(".lsf-outliner-item__control_type_score").first
    expect(beside).to_have_text(f"{region['score']:.2f}")
    assert region["score"] > 0.8
    page.locator(".lsf-outliner-item__title").first.click()
    expect(page.get_by_test_id("detailed-region")).to_contain_text("Estimated DSC as drawn: ")
    shoot(page, "region")
    page.keyboard.press("Escape")

    assert not refused
    assert not list(service.label_studio.labelled_tasks(board.id))
    # Deselect the brush, whose slider would cover the edge of the image.
    page.keyboard.press("v")
    shoot(page, "first-task")

    page.get_by_role("button", name="Submit current annotation").click()
    expect(opened_task(page)).not_to_contain_text(f"{first}")
    (labelled,) = service.label_studio.labelled_tasks(board.id)
    (submitted,) = labelled.accepted
    assert [one["score"] for one in submitted.result] == [one["score"] for one in shown(board, first)]
    (task,) = choose([labelled], "latest")
    with service.context() as context:
        made = note_edits(context, board.id, [task], board.config)
    assert made[submitted.id].provenance is Provenance.ACCEPTED
