"""Above the floor a task opens with its bones, each a region of its own; below it, it opens empty."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import expect

from ml_backend.demo.label_studio import LabelStudioServer
from model.research.phantom import Phantom, draw_phantom
from tests.browser.canvas import opened_task, painted, screen
from tests.browser.conftest import Person, Shoot
from tests.loop.board import Board
from tests.loop.service import Service

ANNOTATOR = "floor@example.com"
HIDE = {"MASK_FLOOR": "0.5", "SMALLEST_REGION": "0.0001"}


def ribs() -> NDArray[np.uint8]:
    """A drawing of a chest, in which the weights for hands see a hundred shreds."""
    image = np.full((520, 416), 60, np.float32)
    cv2.ellipse(image, (208, 280), (190, 240), 0, 0, 360, 110, -1)
    for side in (118, 298):
        cv2.ellipse(image, (side, 260), (75, 180), 0, 0, 360, 50, -1)
    for rib in range(9):
        cv2.ellipse(image, (188, 90 + rib * 42), (170, 50), 0, 200, 270, 150, 7)
        cv2.ellipse(image, (228, 90 + rib * 42), (170, 50), 0, 270, 340, 150, 7)
    noise = np.random.default_rng(1).normal(0, 5, image.shape)
    return np.clip(cv2.GaussianBlur(image, (0, 0), 2) + noise, 0, 255).astype(np.uint8)


def test_a_hand_opens_with_its_bones_and_a_foreign_image_empty(
    server: LabelStudioServer,
    service: Service,
    boards: list[Board],
    person: Person,
    shoot: Shoot,
) -> None:
    service.work(INITIAL_WEIGHTS="hand-bones", **HIDE)
    hand, chest = draw_phantom(12, seed=5, size=(416, 520)), ribs()
    nothing = np.zeros_like(chest)
    boards.append(Board.connected(service, [hand, Phantom(chest, nothing, nothing, 0, 0)], "Floor"))
    (board,) = boards
    service.wait(board.published, "the first order")
    page = person(ANNOTATOR)
    regions = page.locator(".lsf-outliner-item__title")
    drawn = []
    for task, name in zip(sorted(board.truth), ("above", "below"), strict=True):
        page.goto(f"{server.url}/projects/{board.id}/data?tab={board.view}&task={task}")
        expect(opened_task(page)).to_contain_text(f"{task}")
        page.wait_for_timeout(2000)
        drawn.append((regions.count(), float(painted(screen(page)).mean())))
        # Deselect the brush, whose slider would cover the edge of the image.
        page.keyboard.press("v")
        shoot(page, f"floor-{name}")
    (bones, covered), (shreds, left) = drawn
    assert bones > 5, "the list has only those regions that fit"
    assert covered > 0.1
    assert shreds == 0
    assert left < 0.001
    assert "draws masks on 1 of 2 tasks: 1 is below MASK_FLOOR 0.5" in " ".join(
        service.command("status", **HIDE).stdout.split()
    )
