"""What is on a page: the newest draft, or what the page began with."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ml_backend.interact.page import Page
from ml_backend.label_studio.config import default_config, parse
from ml_backend.label_studio.regions.masks import results

CONFIG = parse(default_config(["Bone", "Plate"]))
SIZE = (60, 80)


def regions(top: int, label: int = 1) -> list[dict[str, Any]]:
    labels = np.zeros(SIZE, np.uint8)
    labels[top : top + 10, 10:30] = label
    return results(labels, CONFIG)


DRAWN = [regions(0), regions(12), regions(24), regions(36)]


def top_of(page: Page) -> int:
    (region,) = page.regions(CONFIG, "Bone", SIZE)
    return int(np.flatnonzero(region.mask.any(1))[0])


def test_the_newest_draft_is_on_the_page() -> None:
    task = {
        "drafts": [
            {"id": 1, "updated_at": "2026-11-27T10:00:05Z", "result": DRAWN[0]},
            {"id": 2, "updated_at": "2026-11-27T10:00:01Z", "result": DRAWN[1]},
        ],
        "annotations": [{"id": 1, "result": DRAWN[2]}],
        "predictions": [{"id": 1, "result": DRAWN[3], "model_version": "v2"}],
    }
    page = Page.of(task, "v2")
    assert top_of(page) == 0
    assert page.draft == "1 2026-11-27T10:00:05Z"


def test_without_a_draft_the_annotation_is_and_without_that_the_versions_prediction() -> None:
    predictions = [
        {"id": 7, "result": DRAWN[3], "model_version": "v2"},
        {"id": 8, "result": DRAWN[0], "model_version": "v1"},
    ]
    skipped = {"id": 5, "result": DRAWN[1], "was_cancelled": True}
    assert top_of(Page.of({"annotations": [{"id": 4, "result": DRAWN[2]}, skipped]}, "v2")) == 24
    assert top_of(Page.of({"annotations": [skipped], "predictions": predictions}, "v2")) == 36
    assert top_of(Page.of({"predictions": predictions}, "v9")) == 0


def test_where_several_people_annotate_a_task_the_page_begins_with_the_prediction() -> None:
    task = {
        "annotations": [{"id": 4, "result": DRAWN[2]}],
        "predictions": [{"id": 7, "result": DRAWN[3], "model_version": "v2"}],
    }
    assert top_of(Page.of(task, "v2", lambda: True)) == 36
    assert top_of(Page.of({**task, "drafts": [{"id": 1, "result": DRAWN[0]}]}, "v2", lambda: True)) == 0
    assert top_of(Page.of({**task, "predictions": []}, "v2", lambda: True)) == 24


def test_only_regions_of_the_label_are_read() -> None:
    page = Page([*regions(0), *regions(20, label=2)])
    assert len(page.regions(CONFIG, "Plate", SIZE)) == 1


def test_strokes_of_a_draft_are_drawn_over_its_mask() -> None:
    (drawn,) = regions(0)
    stroke = {"type": "add", "relativePoints": [50, 50, 75, 50], "relativeStrokeWidth": 5}
    erased = {"type": "eraser", "relativePoints": [12.5, 0, 12.5, 20], "relativeStrokeWidth": 10}
    drawn["value"]["touches"] = [stroke, erased]
    (region,) = Page([drawn]).regions(CONFIG, "Bone", SIZE)
    assert region.mask[30, 40:60].all()  # the new stroke, 4 pixels thick
    assert not region.mask[24, 50]
    assert not region.mask[2, 10:13].any()  # erased
    assert region.mask[2, 18:30].all()


@pytest.mark.parametrize(
    "task",
    [
        {},
        {"drafts": None, "annotations": 5, "predictions": [None, "x", {"result": {}}]},
        {"drafts": [{"id": {}, "updated_at": 3, "result": [{"id": 4}, {"id": "a", "value": []}]}]},
    ],
)
def test_odd_content_is_an_empty_page(task: dict[str, Any]) -> None:
    assert Page.of(task, "v").regions(CONFIG, "Bone", SIZE) == []
