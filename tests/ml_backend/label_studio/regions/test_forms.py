"""Each form as Label Studio's editor writes it, and as anyone may send it."""

from __future__ import annotations

import base64
import io
import json
import math
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from ml_backend.label_studio import rle
from ml_backend.label_studio.label_config import LabelConfig, parse
from ml_backend.label_studio.masks import Reading, label_map, results
from ml_backend.label_studio.regions import bitmask, ellipse, polygon, rectangle, vector
from ml_backend.label_studio.regions.shape import RegionError
from model.consistency import dice

SIZE = (100, 200)
"""(H, W): one percent is one row, and two columns."""

FORMS = {
    "brushlabels": "BrushLabels",
    "bitmasklabels": "BitmaskLabels",
    "polygonlabels": "PolygonLabels",
    "vectorlabels": "VectorLabels",
    "ellipselabels": "EllipseLabels",
    "rectanglelabels": "RectangleLabels",
}
LABELS = '<Label value="Bone"/><Label value="Nail"/>'
CONFIG = parse(
    '<View><Image name="image" value="$image"/>'
    + "".join(
        f'<{tag} name="{kind}" toName="image" closable="true">{LABELS}</{tag}>' for kind, tag in FORMS.items()
    )
    + "</View>"
)


def config_of(tag: str, **knobs: str) -> LabelConfig:
    attributes = "".join(f' {name}="{value}"' for name, value in knobs.items())
    control = f'<{tag} name="mask" toName="image" closable="true"{attributes}>{LABELS}</{tag}>'
    return parse(f'<View><Image name="image" value="$image"/>{control}</View>')


def read(kind: str, value: dict[str, Any], size: tuple[int, int] = SIZE) -> Reading:
    region = {
        "id": "ab12",
        "from_name": kind,
        "to_name": "image",
        "type": kind,
        "original_width": size[1],
        "original_height": size[0],
        "image_rotation": 0,
        "value": {kind: ["Bone"], **value},
    }
    return label_map([region], CONFIG, size)


def drawn(kind: str, value: dict[str, Any]) -> NDArray[np.bool_]:
    reading = read(kind, value)
    assert not reading.unreadable
    assert reading.label_map is not None
    return np.asarray(reading.label_map == 1)


def box(top: int, bottom: int, left: int, right: int) -> NDArray[np.bool_]:
    mask = np.zeros(SIZE, np.bool_)
    mask[top:bottom, left:right] = True
    return mask


SQUARE = [[10, 20], [30, 20], [30, 50], [10, 50]]


@pytest.mark.parametrize("closed", [{}, {"closed": True}])
def test_a_polygon_holds_the_pixels_whose_centres_it_holds(closed: dict[str, Any]) -> None:
    found = drawn("polygonlabels", {"points": SQUARE, **closed})
    np.testing.assert_array_equal(found, box(20, 50, 20, 60))
    half = [[10.25, 20.5], [30.25, 20.5], [30.25, 50.5], [10.25, 50.5]]
    shifted = drawn("polygonlabels", {"points": half})
    assert np.count_nonzero(shifted) == 30 * 40


def chain(points: Sequence[Sequence[float]], **curves: Any) -> dict[str, Any]:
    """A closed vector as the editor writes it."""
    last = len(points) - 1
    vertices = [
        {"id": f"p{n}", "prevPointId": f"p{n - 1 if n else last}", "x": x, "y": y, "isBezier": False}
        for n, (x, y) in enumerate(points)
    ]
    for name, handles in curves.items():
        vertices[int(name[1:])] |= {"isBezier": True, **handles}
    return {"vertices": vertices, "closed": True}


def test_a_vector_of_straight_edges_is_a_polygon_in_whatever_order_it_is_listed() -> None:
    value = chain(SQUARE)
    np.testing.assert_array_equal(drawn("vectorlabels", value), box(20, 50, 20, 60))
    first, second, third, fourth = value["vertices"]
    value["vertices"] = [third, first, fourth, second]
    np.testing.assert_array_equal(drawn("vectorlabels", value), box(20, 50, 20, 60))
    bare = {"closed": True, "vertices": [{"x": x, "y": y} for x, y in SQUARE]}
    np.testing.assert_array_equal(drawn("vectorlabels", bare), box(20, 50, 20, 60))


def test_curved_vertices_make_a_circle() -> None:
    """Four vertices with handles of 0.5523 of the radius are a circle, by the well-known approximation."""
    k = 0.5523 * 20
    points = [[50.0, 30.0], [60.0, 50.0], [50.0, 70.0], [40.0, 50.0]]

    def handles(dx: float, dy: float, x: float, y: float) -> dict[str, Any]:
        return {
            "controlPoint1": {"x": x - dx / 2, "y": y - dy},
            "controlPoint2": {"x": x + dx / 2, "y": y + dy},
        }

    value = chain(
        points,
        p0=handles(k, 0, 50, 30),
        p1=handles(0, k, 60, 50),
        p2=handles(-k, 0, 50, 70),
        p3=handles(0, -k, 40, 50),
    )
    rows, columns = np.indices(SIZE) + 0.5
    circle = (columns - 100) ** 2 + (rows - 50) ** 2 <= 400
    assert dice(drawn("vectorlabels", value), circle) > 0.99


def test_where_one_end_is_straight_the_missing_handle_leans_on_the_straight_line() -> None:
    value = chain(SQUARE, p0={"controlPoint1": {"x": 10, "y": 30}, "controlPoint2": {"x": 16, "y": 0}})
    found = drawn("vectorlabels", value)
    assert found[13, 33]  # bulges over the upper side, which lies at row 20
    assert not found[10, 55]
    assert np.count_nonzero(found & box(20, 50, 20, 60)) == 30 * 40


@pytest.mark.parametrize("turn", [0, 30, 90, 200, 360])
def test_a_rectangle_turns_clockwise_about_its_first_corner_in_pixels(turn: int) -> None:
    found = drawn("rectanglelabels", {"x": 50, "y": 50, "width": 15, "height": 10, "rotation": turn})
    rows, columns = np.indices(SIZE) + 0.5
    angle = math.radians(turn)
    along = (columns - 100) * math.cos(angle) + (rows - 50) * math.sin(angle)
    across = -(columns - 100) * math.sin(angle) + (rows - 50) * math.cos(angle)
    assert dice(found, (along >= 0) & (along < 30) & (across >= 0) & (across < 10)) > 0.98


@pytest.mark.parametrize("turn", [0, 30, 90, 200])
def test_an_ellipse_turns_clockwise_about_its_centre_in_pixels(turn: int) -> None:
    found = drawn("ellipselabels", {"x": 50, "y": 50, "radiusX": 20, "radiusY": 10, "rotation": turn})
    expected = cv2.ellipse(np.zeros(SIZE, np.uint8), (100, 50), (40, 10), turn, 0, 360, 1, -1) > 0
    assert dice(found, expected) > 0.95
    assert abs(np.count_nonzero(found) - math.pi * 400) < 10


def uri(image: Image.Image, kind: str = "PNG", **options: Any) -> str:
    target = io.BytesIO()
    image.save(target, kind, **options)
    return f"data:image/{kind.lower()};base64," + base64.b64encode(target.getvalue()).decode()


def test_a_bitmask_is_its_alpha_whatever_its_colour() -> None:
    pixels = np.zeros((*SIZE, 4), np.uint8)
    pixels[20:50, 20:60] = (0, 0, 0, 255)  # black, as the editor's canvas is
    pixels[50, 20:60] = (255, 255, 255, 127)  # the soft edge of a round stroke
    pixels[60:] = (255, 255, 255, 0)
    found = drawn("bitmasklabels", {"imageDataURL": uri(Image.fromarray(pixels))})
    np.testing.assert_array_equal(found, box(20, 50, 20, 60))


def test_an_empty_bitmask_draws_nothing_and_takes_nothing_away() -> None:
    empty = uri(Image.fromarray(np.zeros((*SIZE, 4), np.uint8)))
    reading = read("bitmasklabels", {"imageDataURL": empty})
    assert reading.regions == 1
    assert reading.label_map is not None
    assert not reading.label_map.any()


def bomb() -> str:
    """A PNG whose header says 50 000 × 50 000."""
    head = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 6, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
    return bitmask.PREFIX + base64.b64encode(data).decode()


GREY = Image.fromarray(np.zeros(SIZE, np.uint8))
CLEAR = Image.fromarray(np.zeros((*SIZE, 4), np.uint8))
ROUND = {"x": 50, "y": 50, "radiusX": 10, "radiusY": 10}
SIDES = {"x": 10, "y": 10, "width": 10, "height": 10}

HOSTILE = {
    "an open polygon": ("polygonlabels", {"points": SQUARE, "closed": False}, "not closed"),
    "two corners": ("polygonlabels", {"points": SQUARE[:2]}, "must have 3 to"),
    "corners that are no list": ("polygonlabels", {"points": "abc"}, "must have 3 to"),
    "no corners": ("polygonlabels", {}, "must have 3 to"),
    "a hundred thousand and one corners": ("polygonlabels", {"points": [[0, 0]] * 100_001}, "must have 3 to"),
    "a corner of one number": ("polygonlabels", {"points": [*SQUARE, [1]]}, "not a pair"),
    "a corner of nothing": ("polygonlabels", {"points": [*SQUARE, None]}, "not a pair"),
    "a corner at no number": ("polygonlabels", {"points": [*SQUARE, [1, math.nan]]}, "far off the image"),
    "a corner at infinity": ("polygonlabels", {"points": [*SQUARE, [math.inf, 1]]}, "far off the image"),
    "a corner far away": ("polygonlabels", {"points": [*SQUARE, [1, 1e300]]}, "far off the image"),
    "a corner beyond all floats": ("polygonlabels", {"points": [*SQUARE, [1, 10**400]]}, "far off the image"),
    "a corner in words": ("polygonlabels", {"points": [*SQUARE, ["1", 1]]}, "no number"),
    "a corner that is true": ("polygonlabels", {"points": [*SQUARE, [True, 1]]}, "no number"),
    "an outline without end": ("polygonlabels", {"points": [[0, 0], [9, 100]] * 50_000}, None),
    "an open vector": ("vectorlabels", {**chain(SQUARE), "closed": False}, "not closed"),
    "a vector that does not say": ("vectorlabels", {"vertices": chain(SQUARE)["vertices"]}, "not closed"),
    "no vertices": ("vectorlabels", {"closed": True}, "must have 3 to"),
    "a vertex of nothing": ("vectorlabels", {"closed": True, "vertices": [None] * 3}, "no object"),
    "a vertex without a place": ("vectorlabels", {"closed": True, "vertices": [{"x": 1}] * 3}, "no number"),
    "a branch": (
        "vectorlabels",
        {"closed": True, "vertices": [*chain(SQUARE)["vertices"], {"x": 1, "y": 1, "prevPointId": "p1"}]},
        "branches",
    ),
    "two paths": (
        "vectorlabels",
        {
            "closed": True,
            "vertices": [
                *chain(SQUARE)["vertices"],
                {"id": "a", "x": 1, "y": 1, "prevPointId": "b"},
                {"id": "b", "x": 1, "y": 2, "prevPointId": "a"},
            ],
        },
        "more than one path",
    ),
    "a handle of nothing": ("vectorlabels", chain(SQUARE, p0={"controlPoint2": 3}), "no object"),
    "a handle at infinity": (
        "vectorlabels",
        chain(SQUARE, p0={"controlPoint2": {"x": math.inf, "y": 1}}),
        "far off the image",
    ),
    "an ellipse without a radius": ("ellipselabels", {"x": 1, "y": 1, "radiusX": 1}, "radiusY is no number"),
    "an ellipse turned inside out": ("ellipselabels", {**ROUND, "radiusX": -1}, "less than nothing"),
    "an ellipse turned by no number": ("ellipselabels", {**ROUND, "rotation": "left"}, "no number"),
    "a rectangle without a side": ("rectanglelabels", {"x": 1, "y": 1, "height": 3}, "width is no number"),
    "a rectangle turned inside out": ("rectanglelabels", {**SIDES, "height": -3}, "less than nothing"),
    "a rectangle at no number": ("rectanglelabels", {**SIDES, "x": math.nan}, "far off the image"),
    "no bitmask": ("bitmasklabels", {}, "holds no PNG"),
    "a bitmask elsewhere": ("bitmasklabels", {"imageDataURL": "http://host/a.png"}, "holds no PNG"),
    "a bitmask that is a JPEG": ("bitmasklabels", {"imageDataURL": uri(GREY, "JPEG")}, "holds no PNG"),
    "a JPEG that says PNG": (
        "bitmasklabels",
        {"imageDataURL": uri(GREY, "JPEG").replace("jpeg", "png")},
        "broken",
    ),
    "a bitmask that is no base64": ("bitmasklabels", {"imageDataURL": bitmask.PREFIX + "%%%"}, "broken"),
    "half a bitmask": ("bitmasklabels", {"imageDataURL": uri(CLEAR)[:-40] + "="}, "broken"),
    "a bitmask without transparency": ("bitmasklabels", {"imageDataURL": uri(GREY)}, "no transparency"),
    "a small bitmask": ("bitmasklabels", {"imageDataURL": uri(CLEAR.resize((20, 10)))}, "20 × 10 pixels"),
    "a bomb": ("bitmasklabels", {"imageDataURL": bomb()}, "50000 × 50000 pixels"),
    "a bitmask without end": ("bitmasklabels", {"imageDataURL": bitmask.PREFIX + "A" * (65 << 20)}, "limit"),
}


@pytest.mark.parametrize(("kind", "value", "reason"), HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_mask_is_refused_in_a_sentence(
    kind: str, value: dict[str, Any], reason: str | None
) -> None:
    reading = read(kind, value)
    if reason is None:  # absurd, and read all the same
        assert reading.regions == 1
        return
    (sentence,) = reading.unreadable
    assert reason in sentence
    assert sentence.endswith(".")
    assert reading.label_map is None


@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6),
    st.integers(0, 99),
)
@settings(deadline=None, max_examples=100)
def test_a_damaged_bitmask_is_read_or_refused(changes: list[tuple[int, int]], cut: int) -> None:
    whole = bytearray(
        base64.b64decode(bitmask.write(box(20, 50, 20, 60))["imageDataURL"][len(bitmask.PREFIX) :])
    )
    for place, byte in changes:
        whole[place % len(whole)] = byte
    data = bytes(whole[: len(whole) - cut])
    value = {"imageDataURL": bitmask.PREFIX + base64.b64encode(data).decode()}
    assert read("bitmasklabels", value).regions in (0, 1)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
KEYS = ("points", "closed", "vertices", "x", "y", "width", "height", "radiusX", "radiusY", "rotation", "rle")


@given(st.sampled_from(sorted(FORMS)), st.dictionaries(st.sampled_from(KEYS), anything), anything)
@settings(deadline=None, max_examples=200)
def test_nothing_that_anyone_sends_is_more_than_unreadable(
    kind: str, value: dict[str, Any], stray: Any
) -> None:
    reading = label_map([stray], CONFIG, SIZE)
    assert reading.regions == 0
    assert read(kind, value).regions in (0, 1)


def blobs(seed: int, labels: int = 2) -> NDArray[np.uint8]:
    """A label map of smooth areas, some with holes, that touch each other."""
    noise = np.random.default_rng(seed).random((labels + 1, 90, 130)).astype(np.float32)
    smooth = np.stack([cv2.GaussianBlur(each, (0, 0), 9) for each in noise])
    return np.asarray(smooth.argmax(axis=0), np.uint8)


def read_back(labels: NDArray[np.uint8], config: LabelConfig) -> NDArray[np.uint8]:
    """What is read of a label map that was written."""
    height, width = labels.shape
    found = label_map(results(labels, config), config, (height, width)).label_map
    assert found is not None
    return found


@given(st.integers(0, 10_000), st.sampled_from(["PolygonLabels", "VectorLabels"]), st.floats(0, 50))
@settings(deadline=None, max_examples=20)
def test_outlines_read_back_keep_the_dice_of_every_label(seed: int, tag: str, tolerance: float) -> None:
    config = config_of(tag, model_tolerance=f"{tolerance:.3f}")
    labels = blobs(seed)
    found = read_back(labels, config)
    for index in np.unique(labels[labels > 0]):
        assert dice(found == index, labels == index) >= 0.99


@given(st.integers(0, 10_000), st.sampled_from(["BrushLabels", "BitmaskLabels"]))
@settings(deadline=None, max_examples=10)
def test_brush_and_bitmask_are_exact(seed: int, tag: str) -> None:
    labels = blobs(seed)
    found = read_back(labels, config_of(tag))
    np.testing.assert_array_equal(found, labels)


def test_a_tolerance_of_nothing_is_exact() -> None:
    labels = np.asarray(np.random.default_rng(3).random((30, 40)) > 0.6, np.uint8)
    config = config_of("PolygonLabels", model_tolerance="0")
    found = read_back(labels, config)
    assert np.count_nonzero(found != labels) <= 0.005 * np.count_nonzero(labels)


@given(st.floats(0, 100), st.floats(0, 100), st.floats(6, 20), st.floats(6, 20), st.floats(0, 360))
@settings(deadline=None, max_examples=40)
def test_an_ellipse_of_pixels_is_written_as_that_ellipse(
    x: float, y: float, across: float, along: float, turn: float
) -> None:
    value = {"x": 30 + x * 0.4, "y": 30 + y * 0.4, "radiusX": across, "radiusY": along, "rotation": turn}
    shape = ellipse.read(value, (150, 150))
    mask = np.zeros((150, 150), np.bool_)
    mask[shape.top : shape.top + shape.mask.shape[0], shape.left : shape.left + shape.mask.shape[1]] = (
        shape.mask
    )
    (written,) = ellipse.write(mask)
    again = ellipse.read(written, (150, 150))
    assert abs(np.count_nonzero(again.mask) - np.count_nonzero(mask)) <= 0.03 * np.count_nonzero(mask)
    assert abs(written["x"] - value["x"]) < 0.5
    assert abs(written["y"] - value["y"]) < 0.5
    assert 0 <= written["rotation"] < 360
    assert max(written["radiusX"], written["radiusY"]) <= 50


def test_a_long_leg_gets_an_ellipse_that_label_studio_takes() -> None:
    mask = np.zeros((900, 60), np.bool_)
    mask[10:890, 20:40] = True
    (written,) = ellipse.write(mask)
    assert written["radiusX"] <= 50
    assert written["radiusY"] <= 50


def test_boxes_hold_the_parts_and_specks_get_none() -> None:
    mask = box(20, 50, 20, 60) | box(70, 80, 100, 130) | box(0, 2, 0, 2)
    values = rectangle.write(mask)
    assert [(one["x"], one["y"], one["width"], one["height"]) for one in values] == [
        (10, 20, 20, 30),
        (50, 70, 15, 10),
    ]
    assert len(ellipse.write(mask)) == 2
    assert rectangle.write(np.zeros(SIZE, np.bool_)) == []


def test_polygons_are_one_for_each_part_and_cut_around_holes() -> None:
    mask = box(20, 60, 20, 100) & ~box(30, 40, 40, 60) | box(70, 80, 100, 130)
    values = polygon.write(mask, 1.0)
    assert len(values) == 2
    assert all(value["closed"] for value in values)
    for value in (*values, *vector.write(mask, 1.0)):
        read_back = (vector if "vertices" in value else polygon).read(value, SIZE)
        assert not (
            read_back.top <= 30 < read_back.top + len(read_back.mask)
            and read_back.mask[35 - read_back.top, 50 - read_back.left]
        )


DRAWN = json.loads((Path(__file__).parents[1] / "editor_regions.json").read_text())
"""Drawn by mouse over 480 × 400 pixels in the editor of Label Studio 1.23.2, and submitted there."""

EXTENTS = {
    "bitmasklabels": (90, 30, 0.95),
    "rectanglelabels": (80, 60, 1.0),
    "ellipselabels": (120, 79, math.pi / 4),
    "polygonlabels": (80, 80, 1.0),
    "vectorlabels": (85, 80, 0.5),
}
"""Width, height, and share of them that is filled."""


@pytest.mark.parametrize("region", DRAWN, ids=[region["type"] for region in DRAWN])
def test_what_a_hand_drew_in_the_editor_is_read_as_drawn(region: dict[str, Any]) -> None:
    reading = label_map([region], CONFIG, (400, 480))
    assert reading.regions == 1
    assert reading.label_map is not None
    rows, columns = np.nonzero(reading.label_map == 1)
    width, height, share = EXTENTS[region["type"]]
    assert np.ptp(columns) + 1 == pytest.approx(width, abs=1.5)
    assert np.ptp(rows) + 1 == pytest.approx(height, abs=1.5)
    assert len(rows) / (width * height) == pytest.approx(share, abs=0.05)


def test_what_is_rough_lies_below_what_is_exact() -> None:
    """The box around Nail covers part of Bone; written first, it does not cover it when read."""
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


def test_forms_may_be_mixed_and_the_later_region_lies_on_top() -> None:
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
    turned = label_map(regions[::-1], CONFIG, SIZE).label_map
    assert turned is not None
    assert turned[35, 40] == 1


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
    assert sentence == "The region bears no label."


def test_answers_about_regions_and_relations_never_hurt() -> None:
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


def test_readers_raise_nothing_but_sentences() -> None:
    for reader in (bitmask.read, ellipse.read, polygon.read, rectangle.read, vector.read):
        with pytest.raises(RegionError):
            reader({}, SIZE)
    assert issubclass(rle.RleError, ValueError)
