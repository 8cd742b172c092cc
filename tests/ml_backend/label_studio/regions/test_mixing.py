"""Regions of several forms on one image, along with other results."""

from __future__ import annotations

from typing import Any

import numpy as np

from ml_backend.label_studio.config import parse
from ml_backend.label_studio.regions.masks import label_map, results
from model.consistency import dice
from tests.ml_backend.label_studio.regions.forms import CONFIG, SIZE, SQUARE, box


def test_approximate_regions_are_below_exact_ones() -> None:
    """The box around Nail overlaps Bone; it is written first, so Bone covers it when read."""
    config = parse(
        '<View><Image name="image" value="$image"/>'
        '<PolygonLabels name="p" toName="image"><Label value="Bone"/></PolygonLabels>'
        '<RectangleLabels name="r" toName="image"><Label value="Nail"/></RectangleLabels></View>'
    )
    labels = np.zeros(SIZE, np.uint8)
    labels[20:60, 20:60] = 1
    labels[60:80, 20:100] = 2
    labels[20:80, 60:100] = 2
    written = results(labels, config)
    assert [region["type"] for region in written] == ["rectanglelabels", "polygonlabels"]
    found = label_map(written, config, SIZE).label_map
    assert found is not None
    assert dice(found == 1, labels == 1) >= 0.99


def test_forms_may_be_mixed() -> None:
    square = {"x": 10, "y": 20, "width": 20, "height": 30, "rotation": 0}
    regions = [
        {"from_name": kind, "to_name": "image", "type": kind, "value": {kind: [label], **value}}
        for kind, label, value in (
            ("polygonlabels", "Bone", {"points": SQUARE}),
            ("ellipselabels", "Nail", {"x": 20, "y": 35, "radiusX": 5, "radiusY": 10}),
            ("rectanglelabels", "Bone", {**square, "x": 60}),
        )
    ]
    found = label_map(regions, CONFIG, SIZE).label_map
    assert found is not None
    assert found[35, 40] == 2
    assert found[21, 21] == 1
    assert found[35, 130] == 1
    np.testing.assert_array_equal(label_map(regions[::-1], CONFIG, SIZE).label_map, found)
    turned = label_map(regions[::-1], CONFIG, SIZE, "later").label_map
    assert turned is not None
    assert turned[35, 40] == 1


def test_an_outline_drawn_before_its_image_was_loaded_tells_no_size() -> None:
    drawn = {"from_name": "polygonlabels", "to_name": "image", "type": "polygonlabels"}
    size = {"original_width": 1, "original_height": 1}
    reading = label_map([{**drawn, **size, "value": {"points": SQUARE, "polygonlabels": ["Bone"]}}], CONFIG)
    assert reading.label_map is None
    assert list(reading.unreadable) == ["The region does not state the size of the image it was drawn on."]


def test_labels_beside_the_region_are_found_by_its_id() -> None:
    config = parse(
        '<View><Image name="image" value="$image"/><Labels name="kind" toName="image"><Label value="Bone"/>'
        '<Label value="Nail"/></Labels><Rectangle name="box" toName="image"/></View>'
    )
    place = {"x": 10, "y": 20, "width": 20, "height": 30, "rotation": 0}
    size = {"to_name": "image", "original_width": SIZE[1], "original_height": SIZE[0]}
    bare = {"id": "a", "from_name": "box", "type": "rectangle", "value": place, **size}
    named = {"id": "a", "from_name": "kind", "type": "labels", "value": {**place, "labels": ["Nail"]}, **size}
    for regions in ([bare, named], [named, bare], [{**bare, "value": {**place, "labels": ["Nail"]}}]):
        reading = label_map(regions, config, SIZE)
        np.testing.assert_array_equal(reading.label_map, box(20, 50, 20, 60) * 2)
        assert reading.regions == 1
        assert not reading.ignored
    (sentence,) = label_map([bare], config, SIZE).unreadable
    assert sentence == "The region has no label."


def test_answers_about_regions_and_relations_are_ignored() -> None:
    others: list[Any] = [
        {
            "id": "ab12",
            "from_name": "ok",
            "to_name": "image",
            "type": "choices",
            "value": {"choices": ["yes"]},
        },
        {
            "id": "ab12",
            "from_name": "say",
            "to_name": "image",
            "type": "textarea",
            "value": {"text": ["old"]},
        },
        {"from_id": "ab12", "to_id": "cd", "type": "relation", "direction": "right"},
        {"id": "x", "from_name": "tip", "to_name": "image", "type": "keypointlabels", "value": {"x": 1}},
        {"id": "y", "from_name": "rate", "to_name": "image", "type": "rating", "value": {"rating": 3}},
    ]
    mask = np.zeros(SIZE, np.uint8)
    mask[3:9, 3:9] = 1
    reading = label_map([*others, *results(mask, CONFIG), *others], CONFIG, SIZE)
    np.testing.assert_array_equal(reading.label_map, mask)
    assert not reading.unreadable
    assert sum(reading.ignored.values()) == 2 * len(others)
