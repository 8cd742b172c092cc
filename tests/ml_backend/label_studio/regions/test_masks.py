"""Brush regions to label maps and back, from the editor and from untrusted input."""

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from label_studio_sdk.converter.brush import decode_rle, mask2rle
from label_studio_sdk.label_interface import LabelInterface
from numpy.typing import NDArray

from ml_backend.label_studio.config import LabelConfig, default_config, parse
from ml_backend.label_studio.regions.masks import FOREIGN_LABEL, label_map, results
from ml_backend.label_studio.regions.reading import UNKNOWN
from tests.ml_backend.label_studio.regions.forms import by_label

LABELS = ("Tibia", "Femur", "Patella")
XML = default_config(LABELS)
CONFIG = parse(XML)


def region(mask: NDArray[np.uint8], *labels: str, **changes: Any) -> dict[str, Any]:
    """A region as the editor stores it."""
    height, width = mask.shape
    written: dict[str, Any] = {
        "id": "ab12",
        "from_name": "mask",
        "to_name": "image",
        "type": "brushlabels",
        "origin": "manual",
        "original_width": width,
        "original_height": height,
        "image_rotation": 0,
        "value": {"format": "rle", "rle": mask2rle(mask), "brushlabels": list(labels)},
    }
    return written | changes


def square(top: int, left: int, size: int = 4, alpha: int = 255) -> NDArray[np.uint8]:
    mask = np.zeros((10, 12), dtype=np.uint8)
    mask[top : top + size, left : left + size] = alpha
    return mask


@st.composite
def label_maps(draw: st.DrawFn) -> NDArray[np.uint8]:
    height, width = draw(st.integers(1, 40)), draw(st.integers(1, 40))
    pixels = draw(st.lists(st.integers(0, len(LABELS)), min_size=1, max_size=height * width))
    return np.resize(np.array(pixels, dtype=np.uint8), (height, width))


@given(label_maps())
@settings(deadline=None)
def test_a_label_map_written_and_read_is_the_same(labels: NDArray[np.uint8]) -> None:
    written = results(labels, CONFIG)
    height, width = labels.shape
    reading = label_map(written, CONFIG, (height, width))
    assert reading.label_map is not None
    np.testing.assert_array_equal(reading.label_map, labels)
    masks = [(labels == index).view(np.uint8) for index in np.unique(labels[labels > 0])]
    parts = sum(min(cv2.connectedComponents(mask)[0] - 1, 200) for mask in masks)
    assert reading.regions == len(written) == parts
    assert not reading.ignored
    assert not reading.unreadable


@given(label_maps())
@settings(max_examples=20, deadline=None)
def test_written_regions_are_valid_for_label_studio_and_readable_by_its_sdk(
    labels: NDArray[np.uint8],
) -> None:
    written = results(labels, CONFIG, probabilities=by_label({1: 0.5, 2: 1.0, 3: 0.0}), note="A remark")
    errors = LabelInterface(XML).validate_prediction(
        {"result": written, "score": 0.5, "model_version": "v"}, return_errors=True
    )
    assert errors == []
    united = np.zeros_like(labels)
    for part in written:
        alphas = decode_rle(part["value"]["rle"]).reshape(*labels.shape, 4)[..., 3]
        assert set(np.unique(alphas)) <= {0, 255}
        united[alphas > 0] = LABELS.index(part["value"]["brushlabels"][0]) + 1
    np.testing.assert_array_equal(united, labels)


def test_a_region_has_the_fields_label_studio_requires() -> None:
    labels = np.zeros((10, 12), dtype=np.uint8)
    labels[2:4] = 2
    labels[6:8] = 3
    femur, patella = results(labels, CONFIG, probabilities=by_label({2: 0.25, 3: 0.5}), note="A remark")
    assert femur["value"]["brushlabels"] == ["Femur"]
    assert femur["value"]["format"] == "rle"
    assert (femur["original_width"], femur["original_height"]) == (12, 10)
    assert (femur["from_name"], femur["to_name"], femur["type"]) == ("mask", "image", "brushlabels")
    assert femur["image_rotation"] == 0
    assert [femur["score"], patella["score"]] == [0.25, 0.5]
    assert femur["meta"] == {"text": ["A remark"]}
    assert next(iter(femur)) == "meta", "the Data Manager shows only the beginning"
    assert not {"score", "meta"} & set(results(labels, CONFIG)[0])
    assert femur["id"] != patella["id"]
    assert 1 <= len(femur["id"]) <= 10


def test_an_empty_label_map_has_no_regions() -> None:
    assert results(np.zeros((5, 5), dtype=np.uint8), CONFIG) == []


def test_a_class_without_a_label_is_an_error() -> None:
    with pytest.raises(ValueError, match="contains class 4"):
        results(np.full((5, 5), 4, dtype=np.uint8), CONFIG)


def read(*regions: Any, size: tuple[int, int] | None = (10, 12), config: LabelConfig = CONFIG) -> Any:
    return label_map(list(regions), config, size)


def test_regions_of_one_label_are_united() -> None:
    reading = read(region(square(0, 0), "Femur"), region(square(2, 2), "Femur"))
    np.testing.assert_array_equal(reading.label_map == 2, (square(0, 0) | square(2, 2)) > 0)


def test_of_equal_regions_of_several_labels_the_later_one_wins() -> None:
    below, above = region(square(0, 0), "Patella"), region(square(2, 2), "Tibia")
    reading = read(below, above)
    assert reading.label_map[3, 3] == 1
    assert reading.label_map[0, 0] == 3
    assert read(above, below).label_map[3, 3] == 3


def test_soft_edges_count_from_half_opacity() -> None:
    stroke = np.array([[0, 1, 127, 128, 254, 255]], dtype=np.uint8)
    reading = read(region(stroke, "Tibia"), size=None)
    np.testing.assert_array_equal(reading.label_map, [[0, 0, 0, 1, 1, 1]])


def test_a_soft_edge_does_not_cover_the_region_below() -> None:
    soft = square(4, 4)
    soft[0, 0] = 100
    reading = read(region(square(0, 0), "Femur"), region(soft, "Tibia"))
    assert reading.label_map[0, 0] == 2
    assert reading.label_map[5, 5] == 1


def test_a_region_with_several_labels_counts_as_the_first_known() -> None:
    assert read(region(square(0, 0), "Unknown", "Patella", "Tibia")).label_map[0, 0] == 3


def test_an_alias_and_the_value_behind_it_are_one_label() -> None:
    config = parse(XML.replace('value="Femur"', 'value="Femur" alias="F"'))
    reading = read(region(square(0, 0), "F"), region(square(5, 5), "Femur"), config=config)
    assert reading.label_map[0, 0] == reading.label_map[5, 5] == 2
    assert results(reading.label_map, config)[0]["value"]["brushlabels"] == ["F"]


def test_a_rotated_view_does_not_rotate_the_mask() -> None:
    reading = read(region(square(0, 0), "Tibia", image_rotation=90))
    np.testing.assert_array_equal(reading.label_map, square(0, 0) // 255)


def test_without_regions_the_map_is_empty_and_without_a_size_there_is_none() -> None:
    assert not read().label_map.any()
    assert read().label_map.shape == (10, 12)
    assert read(size=None).label_map is None


def test_the_size_is_taken_from_the_first_readable_region() -> None:
    broken = region(square(0, 0), "Tibia", original_width=99)
    reading = read(broken, region(square(0, 0), "Femur"), size=None)
    assert reading.label_map.shape == (10, 12)
    assert sum(reading.unreadable.values()) == 1


OTHERS = {
    "a choice": {"from_name": "ok", "to_name": "image", "type": "choices", "value": {"choices": ["yes"]}},
    "a relation": {"type": "relation", "from_id": "a", "to_id": "b"},
    "a key point": region(square(0, 0), "Tibia", type="keypointlabels"),
    "a type of the future": region(square(0, 0), "Tibia", type="cuboidlabels"),
}


@pytest.mark.parametrize("other", OTHERS.values(), ids=OTHERS.keys())
def test_other_results_are_counted_and_ignored(other: Any) -> None:
    reading = read(other, region(square(2, 2), "Femur"), other)
    np.testing.assert_array_equal(reading.label_map, square(2, 2) // 255 * 2)
    assert list(reading.ignored.values()) == [2]
    assert all(reason.endswith(".") for reason in reading.ignored)
    assert not reading.unreadable


def value(**changes: Any) -> dict[str, Any]:
    changed: dict[str, Any] = region(square(0, 0), "Tibia")["value"] | changes
    return changed


UNREADABLE = {
    "a type in capitals": region(square(0, 0), "Tibia", type="BrushLabels"),
    "no labels": region(square(0, 0)),
    "labels that are no list": region(square(0, 0), "Tibia", value=value(brushlabels="Tibia")),
    "labels that are no texts": region(square(0, 0), "Tibia", value=value(brushlabels=[["Tibia"], 1])),
    "no mask": region(square(0, 0), "Tibia", value=value(rle=[])),
    "strokes of a draft": region(square(0, 0), "Tibia", value={"format": "rle", "brushlabels": ["Tibia"]}),
    "another format": region(square(0, 0), "Tibia", value=value(format="png")),
    "a lying header": region(square(0, 0), "Tibia", value=value(rle=[255] * 30)),
    "no numbers": region(square(0, 0), "Tibia", value=value(rle=["a"])),
    "another size": region(np.zeros((9, 9), dtype=np.uint8), "Tibia"),
    "a size in words": region(square(0, 0), "Tibia", original_width="twelve"),
    "half a size": region(square(0, 0), "Tibia", original_width=None),
    "another form than the tag's": region(square(0, 0), "Tibia", type="rectanglelabels"),
    "another tag": region(square(0, 0), "Tibia", from_name="other"),
    "another image": region(square(0, 0), "Tibia", to_name="other"),
    "a strange type": region(square(0, 0), "Tibia", type=["brushlabels"]),
    "a strange tag": region(square(0, 0), "Tibia", from_name={}),
    "a strange image": region(square(0, 0), "Tibia", to_name=["image"]),
    "a strange value": region(square(0, 0), "Tibia", value=[1]),
    "a text": "region",
    "null": None,
    "no value": region(square(0, 0), "Tibia", value=None),
    "no opaque pixel": region(np.zeros((10, 12), np.uint8), "Tibia"),
}


@pytest.mark.parametrize("broken", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_an_unreadable_mask_is_reported_and_left_out(broken: Any) -> None:
    reading = read(broken, region(square(2, 2), "Femur"))
    np.testing.assert_array_equal(reading.label_map, square(2, 2) // 255 * 2)
    assert reading.regions == 1
    assert list(reading.unreadable.values()) == [1]
    assert all(reason.endswith(".") for reason in reading.unreadable)


def test_without_a_readable_mask_there_is_no_map_instead_of_an_empty_one() -> None:
    assert read(region(square(0, 0), "Tibia", value=value(rle=[]))).label_map is None


def test_masks_of_labels_missing_from_the_config_are_ignored_but_are_no_background() -> None:
    gone = region(square(0, 0), "Ulna")
    reading = read(gone, region(square(2, 2), "Femur"))
    np.testing.assert_array_equal(reading.label_map, square(2, 2) // 255 * 2)
    expected = np.where(square(2, 2) > 0, np.uint8(2), square(0, 0, alpha=UNKNOWN))
    np.testing.assert_array_equal(reading.known_map, expected)
    assert (reading.regions, dict(reading.ignored), dict(reading.unreadable)) == (1, {FOREIGN_LABEL: 1}, {})
    alone = read(gone)
    assert alone.label_map is None, "who drew nothing but that says nothing about the labels there are"
    assert not alone.unreadable


def test_a_region_without_a_size_is_read_over_the_image() -> None:
    bare = region(square(0, 0), "Tibia", original_width=None, original_height=None)
    np.testing.assert_array_equal(read(bare).label_map, square(0, 0) // 255)


STROKES = json.loads((Path(__file__).parents[1] / "editor_strokes.json").read_text())
"""Drawn by mouse in the editor of Label Studio 1.23.2 over 600 × 300 pixels: upright, and rotated by 90°."""


@pytest.mark.parametrize("stroke", STROKES, ids=["upright", "turned"])
def test_strokes_of_the_real_editor_are_read_as_the_sdk_reads_them(stroke: dict[str, Any]) -> None:
    alphas = decode_rle(stroke["value"]["rle"]).reshape(300, 600, 4)[..., 3]
    assert len(np.unique(alphas)) > 20, "the stroke has soft edges"
    config = parse(default_config(["Bone"]))
    np.testing.assert_array_equal(read(stroke, size=(300, 600), config=config).label_map, alphas >= 128)


def test_a_stroke_on_a_rotated_view_is_where_it_was_drawn_on_the_image() -> None:
    # Drawn as a horizontal bar from the centre to near the right, then down and out at the right. On the
    # upright image this is a vertical bar from half its height to near its top, and then out at the top.
    turned = read(STROKES[1], size=(300, 600), config=parse(default_config(["Bone"]))).label_map
    rows, columns = np.nonzero(turned)
    assert (rows.min(), rows.max()) == (0, pytest.approx(150, abs=10))
    bar = columns[rows > 20]
    assert bar.max() - bar.min() < 20
