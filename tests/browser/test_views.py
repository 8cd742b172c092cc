"""The views of several annotators on Label Studio's pages."""

from __future__ import annotations

import json
from collections.abc import Iterator

import cv2
import pytest
from playwright.sync_api import Page, ViewportSize, expect

from ml_backend.assign.distribution import distribute
from ml_backend.label_studio import views
from ml_backend.label_studio.blueprint import Order
from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import default_config
from ml_backend.label_studio.views import Work
from model.research.phantom import draw_phantom
from tests.browser.canvas import opened_task
from tests.browser.conftest import Shoot
from tests.demos import Demo

VERSION = "dsal-p2-r002-3f2a91c0"
SMALL: ViewportSize = {"width": 1100, "height": 430}


@pytest.fixture
def studio(demo: Demo) -> LabelStudio:
    login = json.loads((demo.folder / "demo" / "label-studio" / "login.json").read_text())
    return LabelStudio(demo.url.split("/projects")[0], login["token"])


@pytest.fixture
def project(studio: LabelStudio) -> Iterator[int]:
    number = int(studio.create_project("Finger bones", default_config(["Bone"]))["id"])
    yield number
    studio.delete_project(number)


def test_an_open_page_serves_tasks_that_are_assigned_later(
    demo: Demo, studio: LabelStudio, project: int, page: Page, shoot: Shoot
) -> None:
    """The browser sends the filters that it has loaded; they also match tasks that are assigned later."""
    work = Work(studio, "", None)
    views.settings(work, project, Order(highest_first=True))
    views.shared_view(work, project, Order(highest_first=True))
    view = views.annotator_views(work, project, [demo.email], Order(highest_first=True))[demo.email]
    files = {
        f"hand-{n}.png": cv2.imencode(".png", draw_phantom(n + 3, seed=n, size=(128, 160)).image)[1].tobytes()
        for n in range(6)
    }
    ranking = list(studio.upload(project, files).values())[::-1]
    studio.import_predictions(
        project,
        [
            {"task": task, "result": [], "score": 0.9 - 0.1 * place, "model_version": VERSION}
            for place, task in enumerate(ranking)
        ],
    )
    studio.patch_project(project, model_version=VERSION)
    mine = [
        task
        for task, who in distribute(ranking, {}, ["somebody", demo.email], 2).items()
        if who == demo.email
    ]
    assert mine == [ranking[1], ranking[3]]
    studio.assign(project, dict.fromkeys(mine, demo.email))
    before = studio.views(project)

    page.set_viewport_size(SMALL)
    page.goto(f"{studio.url}/projects/{project}/data?tab={view}")
    expect(page.get_by_test_id("table-row")).to_have_count(2)
    page.get_by_role("button", name="Label All Tasks").locator("xpath=following-sibling::button").click()
    button = page.get_by_text("Label Tasks As Displayed")
    button.hover()
    page.wait_for_timeout(1000)
    shoot(page, "annotator-view")
    button.click()
    opened = opened_task(page)
    expect(opened).to_contain_text(f"{ranking[1]}")
    studio.assign(project, {ranking[2]: demo.email})
    page.set_viewport_size({"width": 1440, "height": 900})
    page.get_by_role("button", name="Submit current annotation").click()
    expect(opened).to_contain_text(f"{ranking[2]}")
    # Opening a view saves it; ours must be unchanged.
    assert studio.views(project) == before
