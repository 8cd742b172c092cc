"""Masks written in each form, and read back."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ml_backend.label_studio.config import LabelConfig, parse
from ml_backend.label_studio.regions import ellipse, polygon, rectangle, vector
from ml_backend.label_studio.regions.masks import label_map, results
from model.consistency import dice
from tests.ml_backend.label_studio.regions.forms import FORMS, LABELS, SIZE, box

PARTS = {(5, 10, 25, 40): 0.9, (5, 60, 25, 90): 0.6, (40, 10, 80, 100): 0.75, (90, 150, 91, 151): 0.51}
"""(top, left, bottom, right) of parts of a mask, and the probability in each."""


def config_of(tag: str, **knobs: str) -> LabelConfig:
    attributes = "".join(f' {name}="{value}"' for name, value in knobs.items())
    control = f'<{tag} name="mask" toName="image" closable="true"{attributes}>{LABELS}</{tag}>'
    return parse(f'<View><Image name="image" value="$image"/>{control}</View>')


def blobs(seed: int, labels: int = 2) -> NDArray[np.uint8]:
    """A label map of smooth areas, some with holes, that touch each other."""
    noise = np.random.default_rng(seed).random((labels + 1, 90, 130)).astype(np.float32)
    smooth = np.stack([cv2.GaussianBlur(each, (0, 0), 9) for each in noise])
    return np.asarray(smooth.argmax(axis=0), np.uint8)


def read_back(labels: NDArray[np.uint8], config: LabelConfig) -> NDArray[np.uint8]:
    """A label map, written and read back."""
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


def test_a_tolerance_of_zero_is_exact() -> None:
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


def test_a_long_leg_gets_an_ellipse_that_label_studio_accepts() -> None:
    mask = np.zeros((900, 60), np.bool_)
    mask[10:890, 20:40] = True
    (written,) = ellipse.write(mask)
    assert written["radiusX"] <= 50
    assert written["radiusY"] <= 50


def test_components_get_boxes_and_specks_do_not() -> None:
    mask = box(20, 50, 20, 60) | box(70, 80, 100, 130) | box(0, 2, 0, 2)
    values = rectangle.write(mask)
    assert [(one["x"], one["y"], one["width"], one["height"]) for one in values] == [
        (10, 20, 20, 30),
        (50, 70, 15, 10),
    ]
    assert len(ellipse.write(mask)) == 2
    assert rectangle.write(np.zeros(SIZE, np.bool_)) == []


def test_each_component_gets_one_polygon_that_excludes_its_holes() -> None:
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


@pytest.mark.parametrize("tag", FORMS.values())
def test_every_region_carries_the_probability_of_its_own_part(tag: str) -> None:
    """Two parts of equal size, a larger one, and a speck that only exact forms draw."""
    labels = np.zeros(SIZE, np.uint8)
    likely = np.zeros(SIZE, np.float32)
    for (top, left, bottom, right), probability in PARTS.items():
        labels[top:bottom, left:right] = 2
        likely[top:bottom, left:right] = probability

    def probabilities(index: int, parts: NDArray[np.uint8]) -> list[float]:
        assert index == 2
        return [float(likely[parts == number].mean()) for number in range(1, int(parts.max()) + 1)]

    config = config_of(tag)
    written = results(labels, config, probabilities)
    assert len(written) >= 3
    for region in written:
        covered = label_map([region], config, SIZE).label_map
        assert covered is not None
        inside = likely[(covered == 2) & (labels == 2)]
        assert region["score"] == pytest.approx(np.median(inside), abs=1e-4)
