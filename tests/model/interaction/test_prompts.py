"""Prompts: which pixels marks touch, and which marks are refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.interaction.prompts import Box, Click, Extent, PromptError, Scribble, extent, is_positive

SHAPE = (40, 60)


@given(x=st.floats(0, 60), y=st.floats(0, 40))
def test_click_touches_the_pixel_under_it(x: float, y: float) -> None:
    found = extent(Click(x, y), SHAPE)
    assert (found.bottom - found.top, found.right - found.left) == (1, 1)
    assert found.top == min(int(y), 39)
    assert found.left == min(int(x), 59)


@given(x=st.floats(-1e6, 1e6), y=st.floats(-1e6, 1e6))
def test_click_beside_the_image_is_refused(x: float, y: float) -> None:
    if 0 <= x <= 60 and 0 <= y <= 40:
        return
    with pytest.raises(PromptError, match=r"beside the image of 60×40 pixels"):
        extent(Click(x, y), SHAPE)


def test_box_touches_every_pixel_that_it_overlaps_and_is_cut_off_at_the_edge() -> None:
    assert extent(Box(10.5, -3, 20.2, 7), SHAPE) == Extent(0, 7, 10, 21)


@pytest.mark.parametrize(
    "edges", [(5, 5, 5, 9), (9, 5, 5, 9), (0, 0, float("nan"), 9), (0, 0, float("inf"), 1)]
)
def test_box_without_area_is_refused(edges: tuple[float, float, float, float]) -> None:
    with pytest.raises(PromptError, match="has no area"):
        Box(*edges)


def test_click_nowhere_is_refused() -> None:
    with pytest.raises(PromptError, match="two finite numbers"):
        Click(float("nan"), 3)


def test_empty_scribble_is_refused() -> None:
    with pytest.raises(PromptError, match="covers no pixel"):
        Scribble(np.zeros(SHAPE, np.bool_))


def test_scribble_of_another_size_is_refused() -> None:
    with pytest.raises(PromptError, match="40×60 pixels does not fit an image of 60×40"):
        extent(Scribble(np.ones((60, 40), np.bool_)), SHAPE)


def test_box_adds() -> None:
    assert is_positive(Box(0, 0, 1, 1))
    assert not is_positive(Click(1, 1, positive=False))
