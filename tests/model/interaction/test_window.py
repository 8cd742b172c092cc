"""Windows: what the network sees of an image, and the way back to its pixels."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from model.interaction.prompts import Box, Click, Extent, Scribble
from model.interaction.window import DISK, SIDE, Window
from model.prompt_layers import BOX, NEGATIVE, POSITIVE, PRESENT

SHAPE = (300, 400)


@settings(max_examples=40, deadline=None)
@given(
    x=st.floats(0, 400),
    y=st.floats(0, 300),
    side=st.floats(40, 600),
    top=st.integers(0, 200),
    left=st.integers(0, 300),
)
def test_mask_returns_to_its_own_pixels(x: float, y: float, side: float, top: int, left: int) -> None:
    drawn = np.zeros(SHAPE, np.bool_)
    drawn[top : top + 60, left : left + 70] = True
    window = Window(x, y, side)
    found, where = window.back(window.mask(drawn), SHAPE)
    wrong = (found > 0.5) != drawn[where.slices]
    # Only pixels at the outline may change, within the resolution of the window.
    inner = np.zeros(SHAPE, np.bool_)
    margin = int(np.ceil(1.5 / window.scale)) + 1
    inner[max(0, top - margin) : top + 60 + margin, max(0, left - margin) : left + 70 + margin] = True
    inner[top + margin : top + 60 - margin, left + margin : left + 70 - margin] = False
    assert not (wrong & ~inner[where.slices]).any()


@settings(max_examples=40, deadline=None)
@given(column=st.integers(0, 399), row=st.integers(0, 299), side=st.floats(30, 900))
def test_click_is_drawn_over_the_pixel_that_it_marks(column: int, row: int, side: float) -> None:
    window = Window(column + 0.5, row + 0.5, side)
    pixel = np.zeros(SHAPE, np.bool_)
    pixel[row, column] = True
    maps = window.maps(pixel, (Click(column + 0.5, row + 0.5),))
    rows, columns = np.nonzero(maps[POSITIVE])
    assert abs(rows.mean() - SIDE / 2) <= 1
    assert abs(columns.mean() - SIDE / 2) <= 1
    assert np.ptp(rows) == 2 * DISK
    assert not maps[[NEGATIVE, BOX]].any()


def test_each_kind_of_mark_has_its_own_map() -> None:
    painted = np.zeros(SHAPE, np.bool_)
    painted[100:110, 50:150] = True
    marks = (Click(200, 150, positive=False), Box(120, 80, 260, 220), Scribble(painted))
    maps = Window(200, 150, 256).maps(np.zeros(SHAPE, np.bool_), marks)
    assert not maps[PRESENT].any()
    assert maps[BOX].sum() == 140 * 140
    assert maps[POSITIVE].sum() == 10 * 78  # the window begins at column 72
    assert maps[NEGATIVE, 128, 128] == 1


def test_image_of_a_window_of_its_own_size_is_a_copy_of_its_pixels() -> None:
    grey = np.random.default_rng(0).integers(0, 256, (300, 300)).astype(np.uint8)
    seen = Window(150, 150, SIDE).image(grey)
    assert np.array_equal(np.rint(seen[0] * 255), grey[22:278, 22:278])


def test_reduced_image_keeps_the_mean_of_fine_stripes() -> None:
    grey = np.zeros((1200, 1200), np.uint8)
    grey[:, ::2] = 200
    seen = Window(600, 600, 1024).image(grey)[0, 10:-10, 10:-10]
    assert np.abs(seen * 255 - 100).max() < 30


def test_window_beside_the_image_covers_no_pixel() -> None:
    found, where = Window(-500, 100, 64).back(np.zeros((SIDE, SIDE), np.float32), SHAPE)
    assert found.size == 0
    assert where.left >= where.right or where.top >= where.bottom


def test_window_around_a_small_extent_has_its_least_side() -> None:
    window = Window.around(Extent(10, 14, 20, 26), factor=1.5, least=64)
    assert (window.x, window.y, window.side) == (23, 12, 64)
