"""Regions of each form, written by Label Studio's editor, are read as drawn."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from ml_backend.label_studio.regions.masks import label_map
from model.consistency import dice
from tests.ml_backend.label_studio.regions.forms import CONFIG, SIZE, SQUARE, box, chain, read, uri


def drawn(kind: str, value: dict[str, Any]) -> NDArray[np.bool_]:
    reading = read(kind, value)
    assert not reading.unreadable
    assert reading.label_map is not None
    return np.asarray(reading.label_map == 1)


@pytest.mark.parametrize("closed", [{}, {"closed": True}])
def test_a_polygon_contains_the_pixels_whose_centres_are_inside(closed: dict[str, Any]) -> None:
    found = drawn("polygonlabels", {"points": SQUARE, **closed})
    np.testing.assert_array_equal(found, box(20, 50, 20, 60))
    half = [[10.25, 20.5], [30.25, 20.5], [30.25, 50.5], [10.25, 50.5]]
    shifted = drawn("polygonlabels", {"points": half})
    assert np.count_nonzero(shifted) == 30 * 40


def test_a_vector_of_straight_edges_is_a_polygon_in_whatever_order_it_is_listed() -> None:
    value = chain(SQUARE)
    np.testing.assert_array_equal(drawn("vectorlabels", value), box(20, 50, 20, 60))
    first, second, third, fourth = value["vertices"]
    value["vertices"] = [third, first, fourth, second]
    np.testing.assert_array_equal(drawn("vectorlabels", value), box(20, 50, 20, 60))
    bare = {"closed": True, "vertices": [{"x": x, "y": y} for x, y in SQUARE]}
    np.testing.assert_array_equal(drawn("vectorlabels", bare), box(20, 50, 20, 60))


def test_curved_vertices_make_a_circle() -> None:
    """Four vertices with handles of 0.5523 of the radius approximate a circle."""
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


def test_a_missing_handle_is_on_the_straight_line() -> None:
    value = chain(SQUARE, p0={"controlPoint1": {"x": 10, "y": 30}, "controlPoint2": {"x": 16, "y": 0}})
    found = drawn("vectorlabels", value)
    assert found[13, 33]  # bulges over the upper side, which is at row 20
    assert not found[10, 55]
    assert np.count_nonzero(found & box(20, 50, 20, 60)) == 30 * 40


@pytest.mark.parametrize("turn", [0, 30, 90, 200, 360])
def test_a_rectangle_rotates_clockwise_about_its_first_corner_in_pixels(turn: int) -> None:
    found = drawn("rectanglelabels", {"x": 50, "y": 50, "width": 15, "height": 10, "rotation": turn})
    rows, columns = np.indices(SIZE) + 0.5
    angle = math.radians(turn)
    along = (columns - 100) * math.cos(angle) + (rows - 50) * math.sin(angle)
    across = -(columns - 100) * math.sin(angle) + (rows - 50) * math.cos(angle)
    assert dice(found, (along >= 0) & (along < 30) & (across >= 0) & (across < 10)) > 0.98


@pytest.mark.parametrize("turn", [0, 30, 90, 200])
def test_an_ellipse_rotates_clockwise_about_its_centre_in_pixels(turn: int) -> None:
    found = drawn("ellipselabels", {"x": 50, "y": 50, "radiusX": 20, "radiusY": 10, "rotation": turn})
    expected = cv2.ellipse(np.zeros(SIZE, np.uint8), (100, 50), (40, 10), turn, 0, 360, 1, -1) > 0
    assert dice(found, expected) > 0.95
    assert abs(np.count_nonzero(found) - math.pi * 400) < 10


def test_only_the_alpha_of_a_bitmask_counts() -> None:
    pixels = np.zeros((*SIZE, 4), np.uint8)
    pixels[20:50, 20:60] = (0, 0, 0, 255)  # black, like the editor's canvas
    pixels[50, 20:60] = (255, 255, 255, 127)  # the soft edge of a round stroke
    pixels[60:] = (255, 255, 255, 0)
    found = drawn("bitmasklabels", {"imageDataURL": uri(Image.fromarray(pixels))})
    np.testing.assert_array_equal(found, box(20, 50, 20, 60))


def test_a_region_without_an_opaque_pixel_is_not_an_image_of_background() -> None:
    reading = read("bitmasklabels", {"imageDataURL": uri(Image.fromarray(np.zeros((*SIZE, 4), np.uint8)))})
    assert dict(reading.unreadable) == {"The region covers no pixel of the image.": 1}
    assert reading.label_map is None


DRAWN = json.loads((Path(__file__).parents[1] / "editor_regions.json").read_text())
"""Drawn by mouse over 480 × 400 pixels in the editor of Label Studio 1.23.2, and submitted there."""

EXTENTS = {
    "bitmasklabels": (90, 30, 0.95),
    "rectanglelabels": (80, 60, 1.0),
    "ellipselabels": (120, 79, math.pi / 4),
    "polygonlabels": (80, 80, 1.0),
    "vectorlabels": (85, 80, 0.5),
}
"""Width, height, and filled share of the box."""


@pytest.mark.parametrize("region", DRAWN, ids=[region["type"] for region in DRAWN])
def test_regions_drawn_by_mouse_are_read_as_drawn(region: dict[str, Any]) -> None:
    reading = label_map([region], CONFIG, (400, 480))
    assert reading.regions == 1
    assert reading.label_map is not None
    rows, columns = np.nonzero(reading.label_map == 1)
    width, height, share = EXTENTS[region["type"]]
    assert np.ptp(columns) + 1 == pytest.approx(width, abs=1.5)
    assert np.ptp(rows) + 1 == pytest.approx(height, abs=1.5)
    assert len(rows) / (width * height) == pytest.approx(share, abs=0.05)
