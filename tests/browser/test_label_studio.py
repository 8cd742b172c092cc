"""The loop as a user sees it on Label Studio's pages, after a demo."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from playwright.sync_api import Page, expect

from ml_backend.label_studio.blueprint import BATCH_VERSION
from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import parse
from ml_backend.label_studio.regions.masks import label_map
from model.consistency import dice
from tests.browser.canvas import label_as_displayed, opened_task, painted, resized, screen
from tests.browser.conftest import Shoot
from tests.demos import Demo


def open_view(page: Page, demo: Demo) -> None:
    page.goto(demo.url)
    expect(page.get_by_test_id("table-row").first).to_be_visible()


def rows(page: Page) -> list[list[str]]:
    """Texts of the cells of each row in the Data Manager."""
    return [
        row.locator(".lsf-table__cell").all_inner_texts() for row in page.get_by_test_id("table-row").all()
    ]


def predicted(demo: Demo, task: int) -> NDArray[np.bool_]:
    """The mask (H, W) of the image that Label Studio has for the task."""
    login = json.loads((demo.folder / "demo" / "label-studio" / "login.json").read_text())
    client = LabelStudio(demo.url.split("/projects")[0], login["token"])
    config = parse(client.project(1)["label_config"])
    (regions,) = (
        each["result"] for each in client.predictions(task) if each["model_version"] == demo.last["version"]
    )
    size = (regions[0]["original_height"], regions[0]["original_width"])
    shown = label_map(regions, config, size).label_map
    assert shown is not None
    return shown > 0


def versions_of(row: Sequence[str]) -> set[str]:
    """The versions in a row of the list, without those kept for pages that are still open."""
    named = {name.strip() for name in row[4].split(",")}
    return {name for name in named if "-open-" not in name}


def test_view_shows_the_order_and_the_scores(demo: Demo, page: Page, shoot: Shoot) -> None:
    open_view(page, demo)
    expect(page.get_by_text("Most informativ")).to_be_visible()
    expect(page.get_by_text("Prediction score").last).to_be_visible()
    page.wait_for_load_state("networkidle")
    shown = rows(page)
    order = [str(task) for task in demo.last["order"]]
    assert [row[1] for row in shown] == order[: len(shown)]
    scores = [demo.last["scores"][task] for task in order[: len(shown)]]
    assert [row[3] for row in shown] == [f"{score:.3f}" for score in scores]
    # The demo goes on as soon as a version is published, while predictions of the former one are deleted.
    for _ in range(20):
        if all(versions_of(row) == {demo.last["version"], BATCH_VERSION} for row in rows(page)):
            break
        page.reload()
        page.wait_for_load_state("networkidle")
    for row in rows(page):
        assert versions_of(row) == {demo.last["version"], BATCH_VERSION}
    shoot(page, "most-informative-first")


def test_the_top_task_opens_with_its_mask_drawn_and_then_the_second(
    demo: Demo, page: Page, shoot: Shoot
) -> None:
    first, second = demo.last["order"][:2]
    open_view(page, demo)
    label_as_displayed(page)
    expect(opened_task(page)).to_contain_text(f"{first}")
    expect(page.locator(".lsf-outliner-item__title").first).to_have_text("Bone")
    page.wait_for_timeout(1000)
    drawn = painted(screen(page))
    assert dice(drawn, resized(predicted(demo, first), drawn.shape) > 0) > 0.9
    # Deselect the brush, whose slider would cover the edge of the image.
    page.keyboard.press("v")
    shoot(page, "pre-annotation")
    page.get_by_role("button", name="Submit current annotation").click()
    expect(opened_task(page)).to_contain_text(f"{second}")
