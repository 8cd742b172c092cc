"""Outlines to pixels and pixels to outlines."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ml_backend.label_studio.regions.filling import MAX_CROSSINGS, fill
from ml_backend.label_studio.regions.outlines import (
    MAX_COMPONENTS,
    MIN_DSC,
    components,
    simplified,
    worth_drawing,
)
from ml_backend.label_studio.regions.shape import RegionError
from model.consistency import dice


def filled(points: NDArray[np.float64], size: tuple[int, ...]) -> NDArray[np.bool_]:
    height, width = size
    canvas = np.zeros(size, np.bool_)
    top, left, mask = fill(points, (height, width))
    canvas[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    return canvas


@st.composite
def masks(draw: st.DrawFn, side: int = 16) -> NDArray[np.bool_]:
    height, width = draw(st.integers(1, side)), draw(st.integers(1, side))
    pixels = draw(st.lists(st.booleans(), min_size=1, max_size=height * width))
    return np.resize(np.array(pixels), (height, width))


@given(masks())
@settings(deadline=None, max_examples=200)
def test_exact_outlines_contain_exactly_the_pixels(mask: NDArray[np.bool_]) -> None:
    found = components(mask)
    assert sum(component.area for component in found) == mask.sum()
    assert [component.area for component in found] == sorted((each.area for each in found), reverse=True)
    parts = [filled(simplified(component, 0.0), mask.shape) for component in found]
    for part, component in zip(parts, found, strict=True):
        assert component.area <= part.sum() <= component.area * 1.002
    np.testing.assert_array_equal(np.any([np.zeros_like(mask), *parts], axis=0), mask)


coordinates = st.floats(-30, 60, allow_nan=False).map(lambda value: round(value, 3))


def winding(points: NDArray[np.float64], x: float, y: float) -> int:
    """The winding number of a closed outline around a point, computed from angles."""
    to = points - (x, y)
    angles = np.arctan2(to[:, 1], to[:, 0])
    turns = (np.roll(angles, -1) - angles + np.pi) % (2 * np.pi) - np.pi
    return round(float(turns.sum() / (2 * np.pi)))


@given(st.lists(st.tuples(coordinates, coordinates), min_size=3, max_size=9))
@settings(deadline=None, max_examples=60)
def test_a_pixel_is_inside_if_the_outline_winds_around_its_centre(corners: list[tuple[float, float]]) -> None:
    points = np.array(corners)
    size = (12, 15)
    found = filled(points, size)
    for row, column in np.ndindex(size):
        centre = (column + 0.5, row + 0.5)
        expected = {
            winding(points, centre[0] + dx, centre[1] + dy) != 0
            for dx in (-1e-6, 1e-6)
            for dy in (-1e-6, 1e-6)
        }
        assert bool(found[row, column]) in expected


def test_a_shape_that_crosses_itself_is_filled_as_the_browsers_canvas_does() -> None:
    """A pentagram's centre has winding number 2: inside by the non-zero rule, not by the even-odd one."""
    angles = np.radians(np.arange(5) * 144 - 90)
    star = np.column_stack([np.cos(angles), np.sin(angles)]) * 40 + 50
    assert filled(star, (100, 100))[50, 50]


def test_outlines_outside_the_image_leave_it_empty() -> None:
    for shift in ((-50, 0), (50, 0), (0, -50), (0, 50)):
        assert not filled(np.array([[1.0, 1], [9, 1], [9, 9]]) + shift, (10, 10)).any()
    assert filled(np.array([[-50.0, -50], [90, -50], [90, 90], [-50, 90]]), (10, 10)).all()


def test_extremely_long_outlines_are_refused_early() -> None:
    rows = 10_000
    points = np.tile([[0.0, 0.0], [5.0, rows]], (MAX_CROSSINGS // rows, 1))
    with pytest.raises(RegionError, match="draw a simpler one"):
        fill(points, (rows, 10))


def blobs(seed: int, height: int, width: int) -> NDArray[np.bool_]:
    noise = np.random.default_rng(seed).random((height, width)).astype(np.float32)
    smooth = np.asarray(cv2.GaussianBlur(noise, (0, 0), 7), np.float32)
    return np.asarray(smooth > np.quantile(smooth, 0.6))


@given(st.integers(0, 10_000), st.sampled_from([0.5, 1.0, 3.0, 20.0, 100.0]))
@settings(deadline=None, max_examples=25)
def test_simplified_outlines_keep_their_dice_whatever_the_tolerance(seed: int, tolerance: float) -> None:
    mask = blobs(seed, 120, 150)
    for component in components(mask):
        alone = filled(simplified(component, 0.0), mask.shape)
        again = filled(simplified(component, tolerance), mask.shape)
        assert dice(alone, again) >= MIN_DSC


def test_a_tolerance_saves_corners() -> None:
    mask = np.zeros((400, 300), np.uint8)
    cv2.ellipse(mask, (150, 200), (60, 150), 20, 0, 360, 1, -1)
    (component,) = components(mask > 0)
    exact, coarse = (len(simplified(component, tolerance)) for tolerance in (0.0, 1.0))
    assert exact > 5 * coarse


def test_holes_stay_empty_under_both_fill_rules() -> None:
    mask = np.zeros((60, 80), np.uint8)
    cv2.rectangle(mask, (5, 5), (70, 50), 1, -1)
    for centre in ((20, 20), (50, 30), (30, 40)):
        cv2.circle(mask, centre, 6, 0, -1)
    (component,) = components(mask > 0)
    assert len(component.holes) == 3
    for tolerance in (0.0, 1.0):
        outline = simplified(component, tolerance)
        assert dice(filled(outline, mask.shape), mask > 0) >= (MIN_DSC if tolerance else 1)
        even_odd = cv2.fillPoly(np.zeros_like(mask), [np.round(outline * 256).astype(np.int32)], 1, shift=8)
        assert not any(even_odd[y, x] for x, y in ((20, 20), (50, 30), (30, 40)))


def test_negligible_components_are_left_out() -> None:
    mask = np.zeros((100, 100), np.bool_)
    mask[10:60, 10:60] = True
    mask[80, ::10] = True  # ten single pixels next to 2500
    kept = worth_drawing(components(mask))
    assert [component.area for component in kept] == [2500, 1, 1, 1]
    scattered = np.zeros((100, 100), np.bool_)
    scattered[::3, ::3] = True
    assert len(worth_drawing(components(scattered))) == MAX_COMPONENTS
    assert worth_drawing(components(np.zeros((4, 4), np.bool_))) == []


def test_noise_is_simplified_quickly() -> None:
    noise = np.random.default_rng(0).random((400, 400)) > 0.5
    noise[100:300, 100:300] = True
    found = worth_drawing(components(noise))
    assert len(found) <= MAX_COMPONENTS
    exact = np.zeros((400, 400), np.uint8)
    cv2.drawContours(exact, [found[0].outer[:, None]], 0, 1, -1)
    assert exact[150:250, 150:250].all()
    outline = simplified(found[0], 2.0)
    assert len(outline) < len(found[0].outer)
    assert filled(outline, noise.shape)[150:250, 150:250].all()
