"""Majority vote and agreement of annotators."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from model.consensus import agreement, majority

Mask = NDArray[np.uint8]
SIZE = (4, 5)
mask = arrays.arrays(np.uint8, SIZE, elements=st.sampled_from([0, 1, 2, 3, 255]))


def row(*values: int) -> Mask:
    return np.array([values], np.uint8)


def test_most_votes_win_and_a_tie_is_unknown() -> None:
    three = [row(1, 1, 0, 1, 2), row(1, 0, 0, 2, 2), row(1, 1, 1, 0, 1)]
    assert majority(three).tolist() == [[1, 1, 0, 255, 2]]
    assert majority(three[:2]).tolist() == [[1, 255, 0, 255, 2]], (
        "of two masks, the pixels on which both agree remain"
    )
    four = [row(1), row(1), row(0), row(2)]
    assert majority(four).tolist() == [[1]], "most votes, not more than half of them"


@given(st.lists(mask, min_size=1, max_size=6))
def test_every_pixel_is_counted(masks: list[Mask]) -> None:
    won = majority(masks)
    for place in np.ndindex(SIZE):
        votes = Counter(int(mask[place]) for mask in masks if mask[place] != 255).most_common(2)
        tie = not votes or (len(votes) == 2 and votes[0][1] == votes[1][1])
        assert won[place] == (255 if tie else votes[0][0])
    assert np.array_equal(majority(masks[::-1]), won), "no annotator is preferred"
    assert np.array_equal(majority([masks[0]] * 3), masks[0])


def test_agreement_is_the_mean_dice_of_all_pairs() -> None:
    one, two, three = row(1, 1, 0, 0), row(1, 0, 0, 0), row(1, 1, 2, 0)
    # Label 1: 2/3, 1, 2/3; label 2 occurs only in the third mask: 0 in its two pairs.
    expected = (2 / 3 + (1 + 0) / 2 + (2 / 3 + 0) / 2) / 3
    assert agreement([one, two, three], labels=2) == pytest.approx(expected)
    assert agreement([one, one, one], labels=2) == 1.0
    assert agreement([row(0, 0), row(0, 0)], labels=2) == 1.0, "two empty masks agree"
    assert agreement([row(0, 1), row(0, 0)], labels=2) == 0.0


@given(st.lists(mask.map(lambda drawn: drawn % 4), min_size=2, max_size=4))
def test_agreement_is_in_bounds_and_independent_of_the_order(masks: list[Mask]) -> None:
    found = agreement(masks, labels=3)
    assert 0 <= found <= 1
    assert agreement(masks[::-1], labels=3) == pytest.approx(found)
    pairs = [agreement(list(pair), labels=3) for pair in combinations(masks, 2)]
    assert found == pytest.approx(np.mean(pairs))


def test_masks_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(ValueError, match="give at least 2"):
        agreement([row(1)], labels=1)
    with pytest.raises(ValueError, match="give at least 1"):
        majority([])
    with pytest.raises(ValueError, match="the same size"):
        majority([row(1), row(1, 0)])
