"""What was drawn is read as the editor shows it, or reported; none of it is read as background."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_studio_sdk.converter.brush import decode_rle, encode_rle

from ml_backend.label_studio.regions import forms
from ml_backend.label_studio.regions.masks import Reading, is_mask, label_map
from tests.ml_backend.label_studio.regions.kinds import (
    IN_PERCENT,
    PIXELWISE,
    SIZE,
    TAGS,
    box,
    config,
    control,
    png,
    region,
    rle,
    shape,
)

ALL = config(*(control(kind, kind) for kind in TAGS))
BRUSH = config(control("brushlabels"))
GOOD = region("brushlabels", shape("brushlabels", 50, 50, 75, 75), "Bone")
ENCODED = {"brushlabels": rle, "bitmasklabels": png}


def read(*regions: Any, labels: Any = BRUSH) -> Reading:
    return label_map(list(regions), labels, SIZE)


def pixels(reading: Reading, index: int = 1) -> int:
    assert reading.label_map is not None
    return int(np.count_nonzero(reading.label_map == index))


# -- alphas --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", PIXELWISE)
@pytest.mark.parametrize("alpha", [1, 2, 50, 100, 127, 128, 200, 255])
def test_a_mask_of_any_alpha_is_read(kind: str, alpha: int) -> None:
    drawn = box(25, 25, 75, 75)
    found = read(region(kind, ENCODED[kind](drawn.astype(np.uint8) * alpha), "Bone", name=kind), labels=ALL)
    np.testing.assert_array_equal(found.label_map == 1, drawn)


@pytest.mark.parametrize("kind", PIXELWISE)
def test_soft_edges_count_from_half_of_the_regions_own_maximum(kind: str) -> None:
    alphas = np.zeros(SIZE, np.uint8)
    alphas[0, :6] = (100, 99, 51, 50, 49, 1)
    found = read(region(kind, ENCODED[kind](alphas), "Bone", name=kind), labels=ALL)
    assert found.label_map is not None
    assert found.label_map[0, :6].tolist() == [1, 1, 1, 1, 0, 0]


def test_the_maximum_of_one_region_says_nothing_about_another() -> None:
    faint = rle(box(0, 0, 10, 10).astype(np.uint8) * 60)
    assert pixels(read(region("brushlabels", faint, "Bone"), GOOD)) == 16 * 12 + 40 * 30


def test_a_contour_that_the_sdk_encodes_with_alpha_100_is_read() -> None:
    alphas = np.where(box(25, 25, 75, 75), 100, 0).astype(np.uint8)
    coloured = np.dstack([np.full((*SIZE, 3), 255, np.uint8), alphas])
    stream = encode_rle(coloured.ravel())
    assert decode_rle(stream).max() == 255, "the colours are not the mask"
    assert pixels(read(region("brushlabels", {"format": "rle", "rle": stream}, "Bone"))) == 80 * 60


# -- regions without pixels ----------------------------------------------------------------------------

LINE = {"points": [[10, 10], [50, 50], [90, 90]], "closed": True}
POINT = [{"x": 10, "y": 10}] * 3
WITHOUT_PIXELS = {
    "a polygon on a line": ("polygonlabels", LINE),
    "a polygon on a point": ("polygonlabels", {"points": [[10, 10]] * 4}),
    "a polygon of two corners": ("polygonlabels", {"points": [[10, 10], [20, 20]]}),
    "a polygon beside the image": ("polygonlabels", shape("polygonlabels", 110, 10, 150, 50)),
    "a polygon between pixels": ("polygonlabels", shape("polygonlabels", 10.01, 10.01, 10.02, 10.02)),
    "a vector on a point": ("vectorlabels", {"vertices": POINT, "closed": True}),
    "a vector of two vertices": ("vectorlabels", {"vertices": POINT[:2], "closed": True}),
    "a vector above the image": ("vectorlabels", shape("vectorlabels", 10, -50, 50, -10)),
    "a rectangle without width": ("rectanglelabels", shape("rectanglelabels", 10, 10, 10, 50)),
    "a rectangle without height": ("rectanglelabels", shape("rectanglelabels", 10, 10, 50, 10)),
    "a rectangle beside the image": ("rectanglelabels", shape("rectanglelabels", 101, 10, 150, 50)),
    "an ellipse without radius": ("ellipselabels", shape("ellipselabels", 10, 10, 10, 50)),
    "an ellipse beside the image": ("ellipselabels", shape("ellipselabels", -90, 10, -20, 50)),
    "a brush that was erased": ("brushlabels", rle(np.zeros(SIZE, np.uint8))),
    "a brush without a mask": ("brushlabels", {"format": "rle", "rle": []}),
    "a bitmask that was erased": ("bitmasklabels", png(np.zeros(SIZE, np.uint8))),
}


@pytest.mark.parametrize(("kind", "value"), WITHOUT_PIXELS.values(), ids=WITHOUT_PIXELS.keys())
def test_a_region_without_pixels_is_reported_and_is_not_an_image_of_background(
    kind: str, value: dict[str, Any]
) -> None:
    empty = region(kind, value, "Bone", name=kind)
    alone = read(empty, labels=ALL)
    assert alone.label_map is None
    assert list(alone.unreadable.values()) == [1]

    # Beside another region nothing is missing, so the background is known.
    good = region("brushlabels", shape("brushlabels", 50, 50, 75, 75), "Bone", name="brushlabels")
    both = read(empty, good, labels=ALL)
    np.testing.assert_array_equal(both.known_map, box(50, 50, 75, 75))
    assert list(both.unreadable.values()) == [1]


@pytest.mark.parametrize("kind", IN_PERCENT)
def test_a_region_partly_off_the_image_is_read_as_far_as_it_is_on_it(kind: str) -> None:
    found = read(region(kind, shape(kind, -50, 25, 50, 75), "Bone", name=kind), labels=ALL)
    whole = 80 * 60
    assert pixels(found) == whole if kind != "ellipselabels" else whole * 0.75 < pixels(found) < whole * 0.82
    assert not found.unreadable


# -- sizes ---------------------------------------------------------------------------------------------

FITTING: dict[str, tuple[Any, Any]] = {
    "whole floats": (160.0, 120.0),
    "texts": ("160", "120"),
    "no size": (None, None),
}
SAME_ASPECT: dict[str, tuple[Any, Any]] = {
    "four times as large": (640, 480),
    "half": (80, 60),
    "rounded": (1001, 750),
    "fractional": (160.5, 120.4),
    "as before the image was loaded": (1, 1),
    "zero": (0, 0),
    "one side": (160, None),
}
WRONG: dict[str, tuple[Any, Any]] = {
    "another aspect": (640, 640),
    "turned": (120, 160),
    "true": (True, 120),
    "beyond 64 bits": (160, 10**30),
    "of ten thousand digits": (10**10_000, 120),
    "negative": (-160, -120),
    "not a number": (float("nan"), 120),
    "infinite": (float("inf"), float("inf")),
    "in words": ("large", 120),
    "a list": ([160], 120),
    "an object": ({}, 120),
}


@pytest.mark.parametrize("kind", IN_PERCENT)
@pytest.mark.parametrize("size", [*FITTING.values(), *SAME_ASPECT.values()], ids=[*FITTING, *SAME_ASPECT])
def test_regions_in_percent_fit_every_image_of_their_shape(kind: str, size: tuple[Any, Any]) -> None:
    plain = region(kind, shape(kind, 25, 25, 75, 75), "Bone", name=kind)
    resized = plain | {"original_width": size[0], "original_height": size[1]}
    found = read(resized, labels=ALL)
    assert not found.unreadable
    np.testing.assert_array_equal(found.label_map, read(plain, labels=ALL).label_map)


@pytest.mark.parametrize("kind", PIXELWISE)
@pytest.mark.parametrize("size", FITTING.values(), ids=FITTING)
def test_regions_of_pixels_are_read_if_their_size_is_the_images(kind: str, size: tuple[Any, Any]) -> None:
    drawn = region(kind, shape(kind, 25, 25, 75, 75), "Bone", name=kind)
    found = read(drawn | {"original_width": size[0], "original_height": size[1]}, labels=ALL)
    np.testing.assert_array_equal(found.label_map, box(25, 25, 75, 75))


@pytest.mark.parametrize("kind", PIXELWISE)
@pytest.mark.parametrize("size", SAME_ASPECT.values(), ids=SAME_ASPECT)
def test_regions_of_pixels_fit_one_size_only(kind: str, size: tuple[Any, Any]) -> None:
    drawn = region(kind, shape(kind, 25, 25, 75, 75), "Bone", name=kind)
    found = read(drawn | {"original_width": size[0], "original_height": size[1]}, labels=ALL)
    assert found.label_map is None
    assert list(found.unreadable.values()) == [1]


@pytest.mark.parametrize("kind", TAGS)
@pytest.mark.parametrize("size", WRONG.values(), ids=WRONG)
def test_a_size_that_is_none_is_reported(kind: str, size: tuple[Any, Any]) -> None:
    drawn = region(kind, shape(kind, 25, 25, 75, 75), "Bone", name=kind)
    found = read(drawn | {"original_width": size[0], "original_height": size[1]}, labels=ALL)
    (sentence,) = found.unreadable
    assert found.label_map is None
    assert len(sentence) < 200
    assert sentence.endswith(".")


# -- regions without a label ---------------------------------------------------------------------------

BARE = ("magicwand", "brush", "bitmask", "polygon", "vector", "ellipse", "rectangle")
NAMES = {"magicwand": "MagicWand"} | {kind: kind.capitalize() for kind in BARE if kind != "magicwand"}


@pytest.mark.parametrize("labels", TAGS)
@pytest.mark.parametrize("kind", BARE)
def test_a_region_of_a_tag_without_labels_is_reported(kind: str, labels: str) -> None:
    both = config(f'<{NAMES[kind]} name="bare" toName="image" closable="true"/>', control(labels))
    drawn = region(kind, shape(kind, 0, 0, 25, 25), name="bare")
    (sentence,) = read(drawn, labels=both).unreadable
    assert read(drawn, labels=both).label_map is None
    assert '"bare"' in sentence

    # Its place is known, so of the annotation's other pixels all are.
    good = region(labels, shape(labels, 50, 50, 75, 75), "Bone")
    found = read(good, drawn, labels=both)
    assert found.known_map is not None
    outside = ~box(0, 0, 25, 25)
    np.testing.assert_array_equal(np.where(outside, found.known_map, 0), read(good, labels=both).label_map)
    assert set(np.unique(found.known_map[:25, :30])) <= {0, 255}
    assert 255 in found.known_map


def test_a_config_with_a_tag_that_draws_without_labels_says_so() -> None:
    (fault,) = config(control("brushlabels"), '<MagicWand name="wand" toName="image"/>').faults
    assert fault.startswith('<MagicWand name="wand"> draws regions without a label')
    labelled = '<Labels name="kind" toName="image"><Label value="Bone"/></Labels>'
    assert not config(
        labelled, '<Brush name="b" toName="image"/>', '<MagicWand name="w" toName="image"/>'
    ).faults


def test_the_same_shape_beside_the_one_with_its_label_is_one_region() -> None:
    both = config('<Rectangle name="bare" toName="image"/>', control("rectanglelabels"))
    place = shape("rectangle", 25, 25, 75, 75)
    twins = (region("rectangle", place, name="bare"), region("rectanglelabels", place, "Bone"))
    for regions in (twins, twins[::-1]):
        found = read(*regions, labels=both)
        assert (found.regions, dict(found.unreadable)) == (1, {})
        np.testing.assert_array_equal(found.known_map, box(25, 25, 75, 75))


def test_a_label_without_its_region_is_reported() -> None:
    separate = config(
        '<Labels name="kind" toName="image"><Label value="Bone"/></Labels><Polygon name="p" toName="image"/>'
    )
    orphan = region("labels", shape("polygon", 0, 0, 50, 50), "Bone", name="kind")
    found = read(orphan, labels=separate)
    assert found.label_map is None
    assert list(found.unreadable.values()) == [1]


def test_a_hidden_or_locked_region_is_read() -> None:
    assert pixels(read(GOOD | {"hidden": True, "locked": True})) == 40 * 30


def test_a_label_that_is_not_in_the_config_is_no_background_alone() -> None:
    gone = region("brushlabels", shape("brushlabels", 0, 0, 25, 25), "Metal")
    assert read(gone).label_map is None
    assert pixels(read(gone, GOOD)) == 40 * 30


# -- malformed regions ---------------------------------------------------------------------------------

STRANGE: list[Any] = [{}, [], ["mask"], {"name": "mask"}, None, True, 7, 1.5, 10**30, float("nan")]
MALFORMED: list[list[Any]] = [
    *([other] for other in (None, "region", 7, True, [], ["brushlabels"])),
    *([GOOD | {key: value}] for key in ("from_name", "to_name", "type") for value in STRANGE),
    *([GOOD | {"value": value}] for value in STRANGE if not isinstance(value, dict | None)),
    [region("polygonlabels", {"points": {}}, "Bone")],
    [region("polygonlabels", {"points": [{}, {}, {}]}, "Bone")],
]


@pytest.mark.parametrize("regions", MALFORMED, ids=range(len(MALFORMED)))
def test_a_malformed_region_is_reported_and_the_others_are_read(regions: list[Any]) -> None:
    alone = read(*regions)
    assert alone.label_map is None
    (sentence,) = alone.unreadable
    assert sentence.endswith(".")
    assert len(sentence) < 200
    both = read(GOOD, *regions)
    assert pixels(both) == 40 * 30
    # Nobody knows what was drawn where, so no pixel is known to be background.
    assert both.known_map is not None
    assert np.unique(both.known_map).tolist() == [1, 255]


@pytest.mark.parametrize("result", [None, "text", {}, {"from_name": "mask"}, 7, True])
def test_a_result_that_is_no_list_is_reported(result: Any) -> None:
    found = label_map(result, BRUSH, SIZE)
    assert found.label_map is None
    assert list(found.unreadable.values()) == [1]


def test_an_unexpected_error_is_the_problem_of_one_region(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: Any) -> Any:
        raise ZeroDivisionError("in the middle")

    drawn = [GOOD, region("polygonlabels", shape("polygonlabels", 0, 0, 50, 50), "Bone", name="p")]
    two = config(control("brushlabels"), control("polygonlabels", "p"))
    monkeypatch.setattr("ml_backend.label_studio.regions.polygon.fill", fail)
    with caplog.at_level(logging.ERROR):
        found = read(*drawn, labels=two)
    assert dict(found.unreadable) == {"The region cannot be read (ZeroDivisionError).": 1}
    assert pixels(found) == 40 * 30
    assert "in the middle" in caplog.text


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=4),
    max_leaves=8,
)


@given(
    st.sampled_from(sorted(TAGS)),
    st.dictionaries(st.sampled_from(sorted(GOOD)), anything, min_size=1, max_size=3),
)
@settings(deadline=None, max_examples=200)
def test_a_region_with_any_fields_is_read_reported_or_ignored(kind: str, changes: dict[str, Any]) -> None:
    odd = region(kind, shape(kind, 0, 0, 25, 25), "Bone", name=kind) | changes
    found = read(odd, labels=ALL)
    assert found.regions + sum(found.unreadable.values()) + sum(found.ignored.values()) == 1 or not is_mask(
        odd
    )
    if found.unreadable:
        assert found.label_map is None


def test_every_form_is_tested_here() -> None:
    assert {form.name + "labels" for form in forms.FORMS} == set(TAGS)
    assert {form.name + "labels" for form in forms.FORMS if form.is_pixelwise} == set(PIXELWISE)
