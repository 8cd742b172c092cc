"""Simulated clicks and mistakes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from model.interaction.prompts import Click
from model.interaction.simulation import loose_box, mistaken, next_click, superfluous


def disc(y: int, x: int, radius: int, shape: tuple[int, int] = (120, 120)) -> np.ndarray:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return np.asarray((rows - y) ** 2 + (columns - x) ** 2 <= radius**2)


def test_first_click_is_in_the_middle_of_the_object() -> None:
    click = next_click(disc(50, 70, 20), np.zeros((120, 120), np.bool_))
    assert click == Click(70.5, 50.5)


def test_next_click_is_negative_if_the_largest_error_is_superfluous() -> None:
    truth = disc(50, 70, 20)
    click = next_click(truth, truth | disc(100, 20, 10))
    assert click == Click(20.5, 100.5, positive=False)


def test_no_click_is_needed_where_nothing_is_wrong_or_known() -> None:
    truth = disc(50, 70, 20)
    assert next_click(truth, truth) is None
    assert next_click(truth, np.zeros_like(truth), known=~truth) is None


@given(seed=st.integers(0, 10_000))
def test_simulated_marks_are_about_the_object(seed: int) -> None:
    draws = np.random.default_rng(seed)
    truth, others = disc(50, 70, 20), disc(100, 20, 12)
    mask = mistaken(truth, others, draws)
    click = next_click(truth, mask, draws=draws)
    if click is not None:
        row, column = int(click.y), int(click.x)
        assert bool(truth[row, column]) is click.positive
        assert bool(mask[row, column]) is not click.positive
    assert not (superfluous(truth, others, draws) & truth).any()
    box = loose_box(truth, draws)
    assert box.left < 70 < box.right
    assert box.top < 50 < box.bottom


def test_mistakes_are_of_every_kind() -> None:
    truth, others = disc(50, 70, 20), disc(100, 20, 12)
    draws = np.random.default_rng(0)
    masks = [mistaken(truth, others, draws) for _ in range(200)]
    missing = [(truth & ~mask).sum() / truth.sum() for mask in masks]
    leaking = [(mask & ~truth).sum() / truth.sum() for mask in masks]
    assert np.mean(np.array(missing) > 0.2) > 0.2
    assert np.mean(np.array(leaking) > 0.2) > 0.2
    assert np.mean([m < 0.02 and e < 0.02 for m, e in zip(missing, leaking, strict=True)]) < 0.4
