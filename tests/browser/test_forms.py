"""All forms of masks in Label Studio's editor: it draws what we write and read, and submits the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import BrowserContext, Page

from ml_backend.demo.label_studio import LabelStudioServer
from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import COLOURS, LabelConfig, parse
from ml_backend.label_studio.regions.masks import label_map, results
from model.consistency import dice
from tests.browser.canvas import hue_distance, painted, resized, screen
from tests.browser.conftest import Shoot
from tests.ml_backend.label_studio.regions.forms import by_label

SIZE = (360, 480)
FORMS = ("Brush", "Bitmask", "Polygon", "Vector", "Ellipse", "Rectangle")


def labeling_config() -> str:
    controls = "".join(
        f'<{form}Labels name="{form.lower()}" toName="image" closable="true">'
        f'<Label value="{form}" background="{colour}"/></{form}Labels>'
        for form, colour in zip(FORMS, COLOURS, strict=False)
    )
    return f'<View><Image name="image" value="$image"/>{controls}</View>'


def bones() -> NDArray[np.uint8]:
    """A label map with one shape per form, four of them with a hole, in the upper two thirds."""
    labels = np.zeros(SIZE, np.uint8)
    for index in range(len(FORMS)):
        centre = (80 + 160 * (index % 3), 60 + 120 * (index // 3))
        cv2.ellipse(labels, centre, (25, 50), 25 * (index - 2), 0, 360, index + 1, -1)
        if index < 4:
            cv2.circle(labels, centre, 9, 0, -1)
    return labels


def by_hand() -> list[dict[str, Any]]:
    """Rotated, curved and self-crossing shapes in the lower third, as people draw them."""
    angles = np.radians(np.arange(5) * 144 - 90)
    star = np.column_stack([np.cos(angles) * 45 / 480, np.sin(angles) * 45 / 360]) * 100 + [12, 84]
    curve = [(30.0, 84.0), (37.0, 74.0), (44.0, 84.0), (37.0, 94.0)]
    vertices = [
        {"id": f"v{n}", "prevPointId": f"v{(n - 1) % 4}", "x": x, "y": y, "isBezier": False}
        for n, (x, y) in enumerate(curve)
    ]
    vertices[1] |= {
        "isBezier": True,
        "controlPoint1": {"x": 30.0, "y": 72.0},
        "controlPoint2": {"x": 44.0, "y": 72.0},
    }
    values: dict[str, dict[str, Any]] = {
        "polygon": {"points": star.tolist(), "closed": True},
        "vector": {"vertices": vertices, "closed": True},
        "ellipse": {"x": 62, "y": 84, "radiusX": 11, "radiusY": 6, "rotation": 35},
        "rectangle": {"x": 82, "y": 74, "width": 14, "height": 9, "rotation": 40},
    }
    return [
        {
            "id": f"hand-{form}",
            "from_name": form,
            "to_name": "image",
            "type": f"{form}labels",
            "original_width": SIZE[1],
            "original_height": SIZE[0],
            "image_rotation": 0,
            "value": {**value, f"{form}labels": [form.title()]},
        }
        for form, value in values.items()
    ]


@pytest.fixture
def client(server: LabelStudioServer) -> LabelStudio:
    return LabelStudio(server.url, server.token)


@pytest.fixture
def project(client: LabelStudio) -> Iterator[int]:
    number = client.create_project("Forms", labeling_config())["id"]
    yield number
    client.delete_project(number)


def shown(page: Page) -> NDArray[np.uint8]:
    """The label map on the screen: for each coloured pixel the label with the nearest hue."""
    pixels = screen(page)
    away = np.stack([hue_distance(pixels, colour) for colour in COLOURS[: len(FORMS)]], axis=2)
    return np.where(painted(pixels), away.argmin(axis=2) + 1, 0).astype(np.uint8)


def read(regions: list[dict[str, Any]], config: LabelConfig) -> NDArray[np.uint8]:
    reading = label_map(regions, config, SIZE)
    assert not reading.unreadable
    assert reading.label_map is not None
    return reading.label_map


def test_the_editor_draws_and_submits_every_form_as_we_read_it(
    server: LabelStudioServer,
    client: LabelStudio,
    project: int,
    log_in: Callable[[str, str, str], BrowserContext],
    shoot: Shoot,
) -> None:
    config = parse(client.project(project)["label_config"])
    likely = {n: 0.9 - n / 10 for n in range(1, len(FORMS) + 1)}
    written = [*results(bones(), config, by_label(likely)), *by_hand()]
    grey = cv2.imencode(".png", np.full(SIZE, 90, np.uint8))[1].tobytes()
    task = client.upload(project, {"grey.png": grey})["grey.png"]
    sent = [{"task": task, "result": written, "score": 0.5, "model_version": "v1"}]
    assert client.import_predictions(project, sent).created == 1
    client.patch_project(project, show_collab_predictions=True, model_version="v1")

    page = log_in(server.url, server.email, server.password).new_page()
    page.goto(f"{client.url}/projects/{project}/data?labeling=1")
    page.locator(".lsf-outliner-item").nth(len(written) - 1).wait_for()
    page.keyboard.press("v")
    beside = page.locator(".lsf-outliner-item__control_type_score").all_inner_texts()
    assert sorted(filter(None, beside)) == sorted(f"{one:.2f}" for one in likely.values())
    expected = read(written, config)
    page.wait_for_timeout(1500)
    drawn = shown(page)
    shoot(page, "forms")
    scaled = resized(expected, drawn.shape)
    found = {form: dice(drawn == n, scaled == n) for n, form in enumerate(FORMS, start=1)}
    assert min(found.values()) > 0.93, found

    with page.expect_response(
        lambda answer: "/annotations" in answer.url and answer.request.method == "POST"
    ):
        page.get_by_role("button", name="Submit current annotation").click()
    (labelled,) = client.labelled_tasks(project)
    submitted = labelled.accepted[0].result
    assert {region["type"] for region in submitted} == {f"{form.lower()}labels" for form in FORMS}
    assert {one.get("score") for one in submitted} == {None, *(round(one, 4) for one in likely.values())}
    again = read(submitted, config)
    for n in range(1, len(FORMS) + 1):
        assert dice(again == n, expected == n) > 0.999
