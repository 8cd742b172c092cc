"""Adoption: of what a network proposes, only what the newest mark is about is changed."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.interaction.adoption import adopt, touched
from model.interaction.prompts import Box, Click, Extent, Scribble

SHAPE = (60, 80)
WHOLE = Extent(0, 60, 0, 80)


def drawn(*rectangles: tuple[int, int, int, int]) -> NDArray[np.bool_]:
    """A mask of rectangles, each (top, bottom, left, right)."""
    mask = np.zeros(SHAPE, np.bool_)
    for top, bottom, left, right in rectangles:
        mask[top:bottom, left:right] = True
    return mask


def probabilities(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    return np.where(mask, 0.9, 0.1).astype(np.float32)


def test_positive_click_adds_its_object_and_no_other() -> None:
    kept, clicked, other = (10, 20, 10, 20), (30, 40, 10, 20), (30, 40, 50, 60)
    proposed = probabilities(drawn(kept, clicked, other))
    after = adopt(drawn(kept), proposed, WHOLE, Click(15, 35))
    assert np.array_equal(after, drawn(kept, clicked))


def test_negative_click_removes_its_object_and_no_other() -> None:
    speck, other = (10, 14, 10, 14), (30, 40, 50, 60)
    after = adopt(drawn(speck, other), probabilities(drawn()), WHOLE, Click(12, 12, positive=False))
    assert np.array_equal(after, drawn(other))


def test_click_on_one_mistake_of_an_object_leaves_the_others() -> None:
    body = (20, 40, 20, 60)
    present = drawn(body, (10, 20, 20, 30))  # too much at the top
    proposed = probabilities(drawn(body, (40, 50, 50, 60)))  # something is missing at the bottom
    after = adopt(present, proposed, WHOLE, Click(25, 15, positive=False))
    assert np.array_equal(after, drawn(body))


def test_mask_outside_the_window_stays() -> None:
    window = Extent(0, 30, 0, 80)
    present = drawn((25, 50, 10, 20))
    after = adopt(present, np.zeros((30, 80), np.float32), window, Click(15, 27, positive=False))
    assert np.array_equal(after, drawn((30, 50, 10, 20)))


def test_clicked_pixel_is_obeyed_if_the_network_disagrees() -> None:
    sure_of_nothing = np.full(SHAPE, 0.02, np.float32)
    sure_of_nothing[30:40, 30:40] = 0.2
    added = adopt(drawn(), sure_of_nothing, WHOLE, Click(35, 35))
    assert np.array_equal(added, drawn((30, 40, 30, 40)))
    sure_of_all = np.full(SHAPE, 0.99, np.float32)
    sure_of_all[30:40, 30:40] = 0.8
    removed = adopt(drawn((10, 50, 10, 70)), sure_of_all, WHOLE, Click(35, 35, positive=False))
    assert not removed[30:40, 30:40].any()
    assert removed.sum() == 40 * 60 - 100


def test_click_at_the_edge_of_a_change_reaches_it() -> None:
    proposed = probabilities(drawn((30, 40, 10, 20)))
    after = adopt(drawn(), proposed, WHOLE, Click(15.5, 28.5), reach=2)
    assert after[30:40, 10:20].all()


def test_box_replaces_what_is_in_it_and_keeps_what_is_beside_it() -> None:
    inside, intruding = (20, 40, 20, 40), (22, 30, 38, 70)
    present = drawn((30, 34, 30, 34), intruding)  # a speck in the box, and a neighbour that reaches into it
    after = adopt(present, probabilities(drawn(inside)), WHOLE, Box(18, 18, 42, 42))
    assert np.array_equal(after, drawn(inside, intruding))


def test_scribble_adds_every_object_that_it_touches() -> None:
    first, second, third = (10, 20, 10, 20), (10, 20, 30, 40), (10, 20, 50, 60)
    stroke = drawn((14, 15, 12, 38))
    after = adopt(drawn(), probabilities(drawn(first, second, third)), WHOLE, Scribble(stroke))
    assert np.array_equal(after, drawn(first, second) | stroke)


def test_diagonal_neighbours_are_one_component() -> None:
    mask = drawn((10, 20, 10, 20), (20, 30, 20, 30), (40, 50, 40, 50))
    found = touched(mask, drawn((12, 13, 12, 13)))
    assert np.array_equal(found, drawn((10, 20, 10, 20), (20, 30, 20, 30)))
