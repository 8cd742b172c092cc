from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from model.consistency import Consistency, consistency, dice

MAPS = npst.arrays(np.uint8, (6, 5), elements=st.integers(0, 3))


def rows(*counts: int) -> NDArray[np.uint8]:
    """A map of 10 columns; row i has label 1 in its first counts[i] pixels."""
    return np.array([[column < count for column in range(10)] for count in counts], np.uint8)


def test_dice_of_a_worked_example() -> None:
    assert dice(rows(8).astype(bool), rows(4).astype(bool)) == pytest.approx(2 * 4 / (8 + 4))


def test_dice_of_empty_masks() -> None:
    empty, full = np.zeros((2, 3), bool), np.ones((2, 3), bool)
    assert dice(empty, empty) == 1.0
    assert dice(empty, full) == dice(full, empty) == 0.0


def test_masks_of_different_sizes_are_not_compared() -> None:
    with pytest.raises(ValueError, match="different sizes"):
        dice(np.zeros((2, 3), bool), np.zeros((3, 2), bool))
    with pytest.raises(ValueError, match="differ in size"):
        consistency(rows(1), rows(1), rows(1, 1), 1)


def test_the_score_is_the_mean_of_both_agreements() -> None:
    result = consistency(rows(4), rows(6), rows(8), 1)
    assert result.l_dsc == pytest.approx(8 / 12)
    assert result.m_dsc == pytest.approx(12 / 14)
    assert result.score == pytest.approx((8 / 12 + 12 / 14) / 2)
    assert not result.blank


def test_labels_are_averaged_and_absent_ones_left_out() -> None:
    final = rows(8, 6)
    final[1] *= 5
    lower = final.copy()
    lower[1, 3:6] = 0
    result = consistency(lower, final, final, 19)
    assert result.l_dsc == pytest.approx((1 + 2 * 3 / 9) / 2)
    assert result.m_dsc == 1


def test_a_label_in_only_one_hidden_mask_counts_against_that_mask_alone() -> None:
    final = rows(8, 0)
    middle = rows(8, 4)
    middle[1] *= 2
    result = consistency(final, middle, final, 2)
    assert (result.l_dsc, result.m_dsc) == (1.0, 0.5)


@pytest.mark.parametrize("hidden", [0, 7], ids=["all three blank", "final blank alone"])
def test_a_blank_prediction_scores_nothing(hidden: int) -> None:
    assert consistency(rows(hidden), rows(hidden), rows(0), 1) == Consistency(0.0, 0.0, 0.0, blank=True)


def test_a_blank_prediction_comes_after_any_agreement() -> None:
    blank = consistency(rows(0), rows(0), rows(0), 1)
    poor = consistency(rows(1), rows(0), rows(10), 1)
    assert blank.score < poor.score


@given(lower=MAPS, middle=MAPS, final=MAPS)
@settings(max_examples=100, deadline=None)
def test_every_score_equals_dice_label_by_label(
    lower: NDArray[np.uint8], middle: NDArray[np.uint8], final: NDArray[np.uint8]
) -> None:
    result = consistency(lower, middle, final, 3)
    assert 0 <= result.score <= 1
    present = [k for k in (1, 2, 3) if (lower == k).any() or (middle == k).any() or (final == k).any()]
    if not final.any():
        assert result.blank
        return
    assert result.l_dsc == pytest.approx(np.mean([dice(lower == k, final == k) for k in present]))
    assert result.m_dsc == pytest.approx(np.mean([dice(middle == k, final == k) for k in present]))
    assert result.score == (result.l_dsc + result.m_dsc) / 2


@given(lower=MAPS, final=MAPS)
@settings(max_examples=50, deadline=None)
def test_one_label_is_counted_like_many(lower: NDArray[np.uint8], final: NDArray[np.uint8]) -> None:
    one = np.uint8(1)
    lower, final = lower & one, final & one
    assert consistency(lower, lower, final, 1) == consistency(lower, lower, final, 4)


@pytest.mark.parametrize("labels", [1, 4])
def test_an_index_beyond_the_labels_is_refused(labels: int) -> None:
    broken = rows(3) * (labels + 1)
    with pytest.raises(ValueError, match=f"index {labels + 1}"):
        consistency(rows(3), broken, rows(3), labels)
