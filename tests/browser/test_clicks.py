"""An annotator mends a wrong mask in Chromium, with three clicks and a box."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Page, expect

from ml_backend.demo.label_studio import LabelStudioServer
from ml_backend.label_studio.regions.masks import label_map, results
from model.consistency import dice
from model.research.phantom import draw_phantom
from tests.browser.conftest import Person, Shoot
from tests.loop.board import Board
from tests.loop.service import Service

HAND = draw_phantom(9, seed=4, size=(400, 500))
BONES = HAND.bones > 0
SWITCHED_ON = """
localStorage.setItem('autoAnnotation', 'true');
localStorage.setItem('autoAcceptSuggestions', 'true');
"""
ASKED = "**/interactive-annotating"


def wrong_mask() -> NDArray[np.bool_]:
    """All bones but two, and two specks beside the hand."""
    mask = BONES & ~np.isin(HAND.bones, (3, 8))
    mask[10:25, 10:40] = True
    mask[470:490, 370:395] = True
    return np.asarray(mask)


@pytest.fixture
def board(service: Service, boards: list[Board]) -> Board:
    """An interactive project whose task begins with a wrong mask."""
    # A worker of another test would publish an order of its own.
    service.rest()
    made = Board.connected(service, [HAND, HAND], "Clicks in the editor", interactive=True)
    boards.append(made)
    client = service.label_studio
    regions = results(wrong_mask().astype(np.uint8), made.config)
    drawn = [
        {"task": task, "result": regions, "score": 0.5, "model_version": "by hand"} for task in made.truth
    ]
    client.import_predictions(made.id, drawn)
    client.patch_project(made.id, model_version="by hand")
    return made


@pytest.fixture
def open_task(server: LabelStudioServer, person: Person, board: Board) -> Callable[[str, int], Page]:
    """A function that opens a task as a new user, with the smart tools switched on."""

    def opened(email: str, task: int) -> Page:
        page = person(email)
        page.add_init_script(SWITCHED_ON)
        page.goto(f"{server.url}/projects/{board.id}/data?task={task}")
        expect(page.locator('img[alt="image"]')).to_be_visible()
        expect(page.locator(".lsf-outliner-item__title").first).to_have_text("Bone")
        return page

    return opened


def choose(page: Page, tool: str, key: str) -> None:
    """Choose a smart tool and the label of its tag."""
    page.locator(".lsf-tool_smart").first.hover()
    page.locator(f'.lsf-toolbar__smart [aria-label="{tool}"]').first.click(force=True)
    page.keyboard.press(key)


def place(page: Page, x: float, y: float) -> tuple[float, float]:
    """A pixel of the image as a position on the page."""
    box = page.locator('img[alt="image"]').bounding_box()
    assert box is not None
    height, width = BONES.shape
    return box["x"] + box["width"] * x / width, box["y"] + box["height"] * y / height


def click(page: Page, x: float, y: float, *keys: str) -> None:
    """Click on a pixel of the image while these keys are held, and wait for the answer."""
    choose(page, "key-point-tool", "2")
    for key in keys:
        page.keyboard.down(key)
    with page.expect_response(ASKED):
        page.mouse.click(*place(page, x, y))
    for key in keys:
        page.keyboard.up(key)
    page.wait_for_timeout(500)


def drag(page: Page, left: float, top: float, right: float, bottom: float) -> None:
    """Draw a box in pixels of the image, and wait for the answer."""
    choose(page, "rectangle-tool", "3")
    page.keyboard.down("Control")
    page.mouse.move(*place(page, left, top))
    page.mouse.down()
    page.mouse.move(*place(page, (left + right) / 2, (top + bottom) / 2))
    with page.expect_response(ASKED):
        page.mouse.move(*place(page, right, bottom))
        page.mouse.up()
    page.keyboard.up("Control")
    page.wait_for_timeout(500)


def middle(bone: int) -> tuple[float, float]:
    rows, columns = np.nonzero(HAND.bones == bone)
    return float(np.median(columns)), float(np.median(rows))


def submitted(board: Board, task: int) -> NDArray[np.bool_]:
    """The mask (H, W) that training reads from the task's label."""
    board.service.wait(
        lambda: board.service.label_studio.labelled_now(board.id, [task]), "what was submitted"
    )
    reading = label_map(board.labels()[task], board.config, (BONES.shape[0], BONES.shape[1]))
    assert not reading.unreadable
    assert not reading.is_partial
    assert reading.label_map is not None
    return np.asarray(reading.label_map == 1)


def test_a_wrong_mask_is_mended_by_three_clicks_and_a_box(
    board: Board, open_task: Callable[[str, int], Page], shoot: Shoot
) -> None:
    task = min(board.truth)
    page = open_task("mends@x.org", task)
    shoot(page, "clicks-before")
    click(page, *middle(8))
    click(page, 25, 17, "Alt", "Control")
    click(page, 382, 480, "Alt", "Control")
    rows, columns = np.nonzero(HAND.bones == 3)
    drag(page, columns.min() - 2, rows.min() - 2, columns.max() + 3, rows.max() + 3)
    shoot(page, "clicks-after")
    page.get_by_test_id("bottombar-submit-button").click()
    mended = submitted(board, task)
    assert dice(mended, BONES) > 0.97 > dice(wrong_mask(), BONES)
    assert not mended[10:25, 10:40].any()
    assert not mended[470:490, 370:395].any()


def test_two_annotators_mend_different_tasks_at_once(
    board: Board, open_task: Callable[[str, int], Page]
) -> None:
    first, second = sorted(board.truth)
    one, other = open_task("one@x.org", first), open_task("other@x.org", second)
    click(one, *middle(8))
    click(other, 25, 17, "Alt", "Control")
    for page in (one, other):
        page.get_by_test_id("bottombar-submit-button").click()
    by_one, by_other = submitted(board, first), submitted(board, second)
    speck = (slice(10, 25), slice(10, 40))
    assert dice(by_one & (HAND.bones == 8), HAND.bones == 8) > 0.8
    assert by_one[speck].all()
    assert not by_other[speck].any()
    assert not (by_other & (HAND.bones == 8)).sum() > 20
