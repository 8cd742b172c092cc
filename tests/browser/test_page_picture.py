"""The README's picture of the page, made anew with `--screenshots FOLDER`; too long for CI."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from ml_backend.demo.label_studio import LabelStudioServer
from ml_backend.label_studio.client import LabelStudio
from model.metrics import mean_dice
from model.research.phantom import draw_phantom
from model.strategies import DEFAULT
from tests.loop.board import Board
from tests.loop.service import AUTH, Service
from tests.people import sign_up

HANDS, ROUNDS, LABELS = 54, 3, 14
GOOD = 0.97
"""Dice from which the simulated annotators accept a mask unchanged."""
LEFT_OUT = ("#quality h3", "#quality .scroll", "#versions", "#stop", "#again", "#agreement", "#jobs")
"""Parts of the page that are not in the picture, which would be too long."""
SETTINGS = {
    "STRATEGY": DEFAULT,
    "INITIAL_WEIGHTS": "hand-bones",
    "TRAIN_STEPS": "20",
    "PROMPT_EPISODES": "0",
    "RETRAIN_EVERY": str(LABELS),
    "QUIET_SECONDS": "1800",
    "VALIDATION": "blind",
    "VALIDATION_FRACTION": "0.4",
    "QUERY_SIZE": "12",
    "SCORE_CHUNK": "20",
    "MASK_FLOOR": "0.5",
    "SMALLEST_REGION": "0.0001",
}


def test_picture(
    service: Service,
    server: LabelStudioServer,
    boards: list[Board],
    browser: Browser,
    pictures: Path | None,
) -> None:
    if pictures is None:
        pytest.skip("only makes a picture: give --screenshots")
    service.environment |= SETTINGS
    with service.stopped():
        pass
    service.work()
    hands = [draw_phantom((7 * n) % 19, seed=n) for n in range(HANDS)]
    boards.append(Board.connected(service, hands, "Finger bones"))
    board = boards[-1]
    service.wait(board.published, "the first order", 900)
    people = [sign_up(server, f"{name}@example.com") for name in ("ann", "bob")]
    for number in range(1, ROUNDS + 1):
        for place in range(LABELS):
            label(board, people[place % len(people)])
        board.await_round(number, 1500)
    service.settle()

    context = browser.new_context(
        http_credentials={"username": AUTH[0], "password": AUTH[1]},
        viewport={"width": 1200, "height": 900},
        color_scheme="light",
    )
    page = context.new_page()
    page.goto(f"{service.url}/projects/{board.id}")
    for part in LEFT_OUT:
        page.locator(part).evaluate_all("found => found.forEach(one => one.remove())")
    for image in page.locator(".pictures img").all():
        image.scroll_into_view_if_needed()
        expect(image).to_have_js_property("complete", True)
    pictures.mkdir(parents=True, exist_ok=True)
    page.locator("main").screenshot(path=pictures / "page.png")
    context.close()


def label(board: Board, person: LabelStudio) -> None:
    """Label the next task as a person does: accept a good mask, correct another one."""
    task = board.next_task()
    assert task is not None
    truth = (board.truth[task].mask > 0).astype(np.uint8)
    shown = [one for one in board.open(task) if one["model_version"] == board.shown_version()]
    drawn = board.mask_of(shown[0], truth.shape) if shown and shown[0]["result"] else None
    if drawn is not None and mean_dice(drawn, truth, 1) >= GOOD:
        regions = [region | {"origin": "prediction"} for region in shown[0]["result"]]
    else:
        regions = board.regions(task)
    person.submit_annotation(task, regions, parent_prediction=shown[0]["id"] if shown else None)
