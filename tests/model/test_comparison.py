"""Comparing two versions on the same images, in numbers and in words."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.comparison import compare, signed
from model.quality import MIN_IMAGES

CHAMPION = [0.9, 0.8, 0.5, 0.7, 0.6]


def shifted(by: float) -> list[float]:
    return [dsc + by for dsc in CHAMPION]


def test_only_a_mean_loss_beyond_the_margin_is_clearly_worse() -> None:
    assert compare(CHAMPION, shifted(-0.03)).is_clearly_worse(0.02)
    assert not compare(CHAMPION, shifted(-0.01)).is_clearly_worse(0.02)
    one_lost = [0.3, 1.0, 0.95, 0.8, 0.7]
    assert not compare(CHAMPION, one_lost).is_clearly_worse(0.02), "one lost image may be made up for"


def test_with_too_few_images_nothing_is_rejected_and_it_is_said() -> None:
    few = compare(CHAMPION[: MIN_IMAGES - 1], [0.0] * (MIN_IMAGES - 1))
    assert not few.is_clearly_worse(0.02)
    assert few.sentence("p1-r001-calm-cat").startswith("Too few to tell")
    assert "only 4 validation images" in few.sentence("p1-r001-calm-cat")
    assert not compare([], []).is_clearly_worse(0.0)


@pytest.mark.parametrize(("by", "words"), [(0.05, "Better than"), (-0.05, "Worse than")])
def test_a_clear_difference_is_said_with_its_interval(by: float, words: str) -> None:
    sentence = compare(CHAMPION, shifted(by)).sentence("p1-r001-calm-cat")
    assert sentence.startswith(f"{words} p1-r001-calm-cat: ")
    shown = f"{by:+.3f}".replace("-", "−")
    assert f"difference {shown} (95% interval {shown} to {shown})" in sentence


def test_a_difference_within_the_noise_is_not_called_a_gain() -> None:
    mixed = compare(CHAMPION, [0.95, 0.7, 0.58, 0.66, 0.65])
    assert mixed.low < 0 < mixed.high
    assert mixed.sentence("it").startswith("Not clearly better or worse than it")


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), min_size=1, max_size=30))
def test_the_interval_contains_the_difference_and_turns_round_with_the_sides(
    pairs: list[tuple[float, float]],
) -> None:
    one, other = [a for a, _ in pairs], [b for _, b in pairs]
    there, back = compare(one, other), compare(other, one)
    assert there.low - 1e-9 <= there.difference <= there.high + 1e-9
    assert there.difference == pytest.approx(-back.difference)
    assert (there.low, there.high) == pytest.approx((-back.high, -back.low), abs=1e-9)


def test_unpaired_scores_are_refused() -> None:
    with pytest.raises(ValueError, match="same images"):
        compare([0.5], [0.5, 0.6])


@pytest.mark.parametrize(
    ("difference", "shown"),
    [(0.0123, "+0.012"), (-0.0123, "−0.012"), (-0.0004, "0.000"), (0.0004, "0.000"), (0.0, "0.000")],
)
def test_a_difference_has_a_sign_unless_it_is_shown_as_nothing(difference: float, shown: str) -> None:
    assert signed(difference) == shown
