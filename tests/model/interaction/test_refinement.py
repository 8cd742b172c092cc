"""Refinement with a network that knows the truth: which window it sees, and what comes of it."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from model.consistency import dice
from model.interaction.prompts import Box, Click, PromptError
from model.interaction.refinement import first_window, refine

GREY = np.zeros((900, 1200), np.uint8)


class Oracle:
    """A network that reads the truth from the image: bright pixels belong, where the window shows them."""

    def __init__(self) -> None:
        self.looks = 0

    def __call__(self, image: NDArray[np.float32], maps: NDArray[np.float32]) -> NDArray[np.float32]:
        self.looks += 1
        return np.where(image[0] > 0.5, np.float32(0.95), np.float32(0.05))


def scene(*rectangles: tuple[int, int, int, int]) -> NDArray[np.uint8]:
    grey = GREY.copy()
    for top, bottom, left, right in rectangles:
        grey[top:bottom, left:right] = 255
    return grey


@pytest.mark.parametrize("size", [12, 60, 300, 700])
def test_one_click_draws_an_object_of_any_size(size: int) -> None:
    top, left = 450 - size // 2, 600 - size // 2
    grey = scene((top, top + size, left, left + size))
    found = refine(grey, np.zeros(grey.shape, np.bool_), (Click(600, 450),), Oracle())
    assert dice(found.mask, grey > 0) > 0.97
    assert found.changed is not None
    assert abs(found.changed.longer - size) <= 4


def test_window_is_chosen_anew_until_it_fits() -> None:
    oracle = Oracle()
    small = scene((440, 460, 590, 610))
    refine(small, np.zeros(small.shape, np.bool_), (Click(600, 450),), oracle)
    assert oracle.looks > 1
    fitting = Oracle()
    large = scene((350, 550, 500, 700))
    refine(large, np.zeros(large.shape, np.bool_), (Click(600, 450),), fitting)
    assert fitting.looks == 1


def test_negative_click_removes_a_speck_and_leaves_the_rest_of_the_mask() -> None:
    grey = scene((100, 300, 100, 300))
    present = grey > 0
    present[600:620, 800:830] = True
    found = refine(grey, present, (Click(810, 610, positive=False),), Oracle())
    assert np.array_equal(found.mask, grey > 0)


def test_click_on_what_is_right_changes_nothing() -> None:
    grey = scene((100, 300, 100, 300))
    found = refine(grey, grey > 0, (Click(200, 200),), Oracle())
    assert found.changed is None
    assert np.array_equal(found.mask, grey > 0)


def test_box_draws_the_object_in_it() -> None:
    grey = scene((100, 300, 100, 300), (100, 300, 400, 600))
    found = refine(grey, np.zeros(grey.shape, np.bool_), (Box(90, 90, 310, 310),), Oracle())
    # The window enlarges the image, so its outline may be off by a pixel.
    assert found.mask[101:299, 101:299].all()
    assert found.mask.sum() <= 202 * 202


def test_window_of_a_correction_holds_the_whole_component() -> None:
    present = np.zeros(GREY.shape, np.bool_)
    present[100:700, 100:200] = True
    window = first_window(present, Click(150, 690, positive=False))
    assert window.side == 900
    assert (window.x, window.y) == (150, 400)


def test_marks_are_required_and_must_be_on_the_image() -> None:
    present = np.zeros(GREY.shape, np.bool_)
    with pytest.raises(PromptError, match="give a click, a box or a scribble"):
        refine(GREY, present, (), Oracle())
    with pytest.raises(PromptError, match="beside the image"):
        refine(GREY, present, (Click(5, 5), Click(1201, 5)), Oracle())
