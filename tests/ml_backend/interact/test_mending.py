"""Mending: applied as the editor applies an answer, the regions give the mask that was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ml_backend.interact.mending import mended
from ml_backend.interact.page import Page
from ml_backend.label_studio.config import LabelConfig, parse
from ml_backend.label_studio.regions.emptied import EMPTIED
from ml_backend.label_studio.regions.masks import label_map, results
from model.consistency import dice

SIZE = (80, 100)
BEGIN, END = '<View><Image name="image" value="$image"/>', "</View>"
TAGS = {
    "brush": '<BrushLabels name="m" toName="image"><Label value="A"/><Label value="B"/></BrushLabels>',
    "bitmask": '<BitmaskLabels name="m" toName="image"><Label value="A"/><Label value="B"/></BitmaskLabels>',
    "polygon": '<PolygonLabels name="m" toName="image"><Label value="A"/><Label value="B"/></PolygonLabels>',
    "vector": '<VectorLabels name="m" toName="image" closable="true"><Label value="A"/><Label value="B"/>'
    "</VectorLabels>",
    "labels": '<Labels name="l" toName="image"><Label value="A"/><Label value="B"/></Labels>'
    '<Brush name="m" toName="image"/>',
}


def config_of(form: str) -> LabelConfig:
    return parse(BEGIN + TAGS[form] + END)


def rectangles(*corners: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """A mask (H, W) of rectangles, each (top, bottom, left, right)."""
    mask = np.zeros(SIZE, np.bool_)
    for top, bottom, left, right in corners:
        mask[top:bottom, left:right] = True
    return mask


def accepted(page: Sequence[dict[str, Any]], answer: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The page after all suggestions are accepted: those with the id of a region replace it."""
    changed = {result["id"] for result in answer}
    return [*(result for result in page if result["id"] not in changed), *answer]


def correct(
    page: list[dict[str, Any]], config: LabelConfig, after: NDArray[np.bool_], label: str = "A"
) -> list[dict[str, Any]]:
    return mended(Page(page).regions(config, label, SIZE), after, config, label)


@pytest.mark.parametrize("form", TAGS)
def test_grown_region_keeps_its_id_and_others_are_not_touched(form: str) -> None:
    config = config_of(form)
    labels = rectangles((10, 30, 10, 30), (50, 70, 60, 90)).astype(np.uint8)
    page = results(labels, config)
    after = rectangles((10, 40, 10, 40), (50, 70, 60, 90))
    answer = correct(page, config, after)
    grown = {result["id"] for result in answer}
    assert len(grown) == 1
    assert grown < {result["id"] for result in page}
    found = label_map(accepted(page, answer), config, SIZE).label_map
    assert found is not None
    assert dice(found == 1, after) > 0.98


@pytest.mark.parametrize("form", TAGS)
def test_removed_region_leaves_no_pixel_and_is_not_reported(form: str) -> None:
    config = config_of(form)
    page = results(rectangles((10, 30, 10, 30), (50, 70, 60, 90)).astype(np.uint8), config)
    after = rectangles((10, 30, 10, 30))
    answer = correct(page, config, after)
    assert {EMPTIED} == {text for result in answer for text in result["meta"]["text"]}
    reading = label_map(accepted(page, answer), config, SIZE)
    assert reading.label_map is not None
    assert dice(reading.label_map == 1, after) > 0.98
    assert not reading.unreadable
    assert not reading.is_partial


@pytest.mark.parametrize("form", TAGS)
def test_what_touches_no_region_is_a_new_one(form: str) -> None:
    config = config_of(form)
    page = results(rectangles((10, 30, 10, 30)).astype(np.uint8), config)
    answer = correct(page, config, rectangles((10, 30, 10, 30), (50, 70, 60, 90)))
    assert not {result["id"] for result in answer} & {result["id"] for result in page}
    assert {result["from_name"] for result in answer} == {result["from_name"] for result in page}


def test_region_that_is_cut_in_two_keeps_its_id_on_the_larger_part() -> None:
    config = config_of("brush")
    page = results(rectangles((10, 30, 10, 70)).astype(np.uint8), config)
    answer = correct(page, config, rectangles((10, 30, 10, 50), (10, 30, 60, 70)))
    assert answer[0]["id"] == page[0]["id"]
    assert len({result["id"] for result in answer}) == 2
    (kept,) = Page([answer[0]]).regions(config, "A", SIZE)
    assert kept.mask.sum() == 20 * 40


def test_nothing_changed_is_an_empty_answer() -> None:
    config = config_of("polygon")
    page = results(rectangles((10, 30, 10, 30)).astype(np.uint8), config)
    (region,) = Page(page).regions(config, "A", SIZE)
    assert correct(page, config, region.mask) == []


def test_regions_of_other_labels_stay() -> None:
    config = config_of("brush")
    labels = rectangles((10, 30, 10, 30)).astype(np.uint8)
    labels[rectangles((50, 70, 60, 90))] = 2
    page = results(labels, config)
    answer = correct(page, config, rectangles((10, 30, 10, 35)))
    found = label_map(accepted(page, answer), config, SIZE).label_map
    assert found is not None
    assert np.array_equal(found == 2, labels == 2)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), form=st.sampled_from(["brush", "bitmask"]))
def test_any_change_is_exact_where_pixels_are_stored(seed: int, form: str) -> None:
    config, draws = config_of(form), np.random.default_rng(seed)

    def blobs() -> NDArray[np.bool_]:
        return np.asarray(cv2.GaussianBlur(draws.random(SIZE), (0, 0), 5) > 0.51)

    page = results(blobs().astype(np.uint8), config)
    after = blobs()
    after_all = label_map(accepted(page, correct(page, config, after)), config, SIZE).label_map
    assert after_all is not None
    assert np.array_equal(after_all == 1, after)
