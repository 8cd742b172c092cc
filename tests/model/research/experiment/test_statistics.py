"""The statistics against numbers worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from model.research.experiment.statistics import (
    area_between,
    crossing,
    holm,
    normalised_area,
    paired_difference,
    rank_correlation,
    ranks,
)

P_VALUES = st.lists(st.floats(0, 1), min_size=1, max_size=12)
DSC = arrays(np.float64, 6, elements=st.floats(0, 1))


def numbers(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


def test_the_area_is_the_mean_height() -> None:
    # (0.5 + 0.7) / 2 · 10 + (0.7 + 0.8) / 2 · 30 = 28.5, over 40 labels.
    assert normalised_area(numbers(10, 20, 50), numbers(0.5, 0.7, 0.8)) == pytest.approx(28.5 / 40)
    assert normalised_area(numbers(10), numbers(0.4)) == 0.4


@given(dsc=DSC, shift=st.floats(-1, 1))
def test_the_area_moves_with_the_curve_and_stays_within_it(dsc: np.ndarray, shift: float) -> None:
    budget = numbers(10, 20, 25, 40, 50, 60)
    area = normalised_area(budget, dsc)
    assert dsc.min() - 1e-9 <= area <= dsc.max() + 1e-9
    assert normalised_area(budget, dsc + shift) == pytest.approx(area + shift)
    assert normalised_area(7 * budget, dsc) == pytest.approx(area)


def test_an_area_can_end_between_two_points() -> None:
    # From 0.5 at 10 to 0.7 at 20: 0.55 at 12.5 and 0.65 at 17.5.
    assert area_between(numbers(10, 20), numbers(0.5, 0.7), 12.5, 17.5) == pytest.approx(0.6)
    assert area_between(numbers(0, 10, 20), numbers(0, 1, 1), 0, 20) == pytest.approx(0.75)


def test_a_crossing_lies_between_the_rounds() -> None:
    budget = numbers(10, 20, 30)
    assert crossing(budget, numbers(0.5, 0.7, 0.9), 0.75) == pytest.approx(22.5)
    assert crossing(budget, numbers(0.5, 0.7, 0.9), 0.4) == 10
    assert crossing(budget, numbers(0.5, 0.7, 0.9), 0.91) is None
    assert crossing(budget, numbers(0.5, 0.9, 0.6), 0.9) == 20


def test_holm_by_hand() -> None:
    # Smallest first: 0.01·4 = 0.04, 0.02·3 = 0.06, 0.03·2 = 0.06, 0.04·1 lifted to 0.06.
    assert holm([0.04, 0.01, 0.03, 0.02]) == pytest.approx([0.06, 0.04, 0.06, 0.06])
    assert holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert holm([]) == []


@given(values=P_VALUES)
def test_holm_lies_between_no_correction_and_bonferroni_and_keeps_the_order(values: list[float]) -> None:
    adjusted = holm(values)
    for value, corrected in zip(values, adjusted, strict=True):
        assert value <= corrected <= 1
        assert corrected <= max(min(1.0, len(values) * value), max(values)) + 1e-12
    order = np.argsort(values, kind="stable")
    assert (np.diff(np.array(adjusted)[order]) >= 0).all()


def test_a_paired_difference_by_hand() -> None:
    arm, reference = numbers(0.80, 0.84, 0.82), numbers(0.78, 0.80, 0.79)
    found = paired_difference(arm, reference)
    assert found is not None
    # Differences 0.02, 0.04, 0.03: mean 0.03, standard error 0.01 / √3, t = 5.196 with 2 degrees of freedom.
    assert found.mean == pytest.approx(0.03)
    assert found.p == pytest.approx(2 * stats.t.sf(0.03 / (0.01 / np.sqrt(3)), 2))
    assert found.p == pytest.approx(0.0351, abs=1e-4)
    assert 0.02 <= found.low < 0.03 < found.high <= 0.04


def test_cases_without_a_test() -> None:
    assert paired_difference(numbers(0.8), numbers(0.7)) is None
    same = paired_difference(numbers(0.8, 0.7), numbers(0.8, 0.7))
    assert same is not None
    assert (same.mean, same.low, same.high, same.p) == (0, 0, 0, 1)


def test_rank_correlation_by_hand() -> None:
    # Σd² = 2 over five pairs: 1 − 6·2 / (5·24) = 0.9.
    assert rank_correlation(numbers(1, 2, 3, 4, 5), numbers(1, 2, 3, 5, 4)) == pytest.approx(0.9)
    assert rank_correlation(numbers(1, 1, 1), numbers(1, 2, 3)) is None
    assert rank_correlation(numbers(1, 2), numbers(1, 2)) is None
    assert ranks(numbers(0.3, 0.1, 0.3)).tolist() == [2.5, 1, 2.5]
