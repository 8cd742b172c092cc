"""Statistics for comparing arms: areas under curves, crossings, paired differences, rank correlation."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

RESAMPLES = 10_000
"""Bootstrap samples of a confidence interval."""
CONFIDENCE = 0.95
"""Confidence level of the intervals."""
Numbers = NDArray[np.float64]


def normalised_area(budget: Numbers, value: Numbers) -> float:
    """Area under a curve by the trapezoidal rule, divided by the range of the budget: its mean height.

    Args:
        budget: (R,) ascending budgets.
        value: (R,) value at each budget.

    Returns:
        The mean height; for a single point, its value.
    """
    length = float(budget[-1] - budget[0])
    return float(np.trapezoid(value, budget) / length) if length > 0 else float(value[0])


def area_between(budget: Numbers, value: Numbers, first: float, last: float) -> float:
    """`normalised_area` between `first` and `last`, which must be within the range of `budget`."""
    inner = (budget > first) & (budget < last)
    points = np.concatenate(([first], budget[inner], [last]))
    return normalised_area(points, np.interp(points, budget, value))


def crossing(budget: Numbers, value: Numbers, target: float) -> float | None:
    """The first budget at which a curve reaches the target, interpolated linearly; None if it never does."""
    reached = np.flatnonzero(value >= target)
    if len(reached) == 0:
        return None
    after = int(reached[0])
    if after == 0:
        return float(budget[0])
    before = after - 1
    share = (target - value[before]) / (value[after] - value[before])
    return float(budget[before] + share * (budget[after] - budget[before]))


@dataclass(frozen=True)
class PairedDifference:
    """Differences between an arm and the reference, paired by seed.

    Attributes:
        mean: mean difference.
        low, high: 95 % percentile bootstrap interval of the mean over seeds.
        p: p value of the two-sided paired t-test.
    """

    mean: float
    low: float
    high: float
    p: float


def paired_difference(arm: Numbers, reference: Numbers) -> PairedDifference | None:
    """Compare two arms by one number per seed (S,), in the same order; None for fewer than two seeds."""
    differences = arm - reference
    if len(differences) < 2:
        return None
    # A fixed seed, so that a resumed experiment writes the same summary.
    draws = np.random.default_rng(0).choice(differences, (RESAMPLES, len(differences))).mean(axis=1)
    low, high = np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return PairedDifference(float(differences.mean()), float(low), float(high), _paired_p(differences))


def _paired_p(differences: Numbers) -> float:
    """p value of the paired t-test; without variance it is undefined: then 1 for zero differences, else 0."""
    if np.ptp(differences) == 0:
        return 1.0 if differences[0] == 0 else 0.0
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """p values after Holm's step-down correction for multiple tests, in the given order."""
    adjusted = np.empty(len(p_values))
    highest = 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return [float(value) for value in adjusted]


def rank_correlation(x: Numbers, y: Numbers) -> float | None:
    """Spearman coefficient of x (n,) and y (n,); None if one of them is constant or n < 3."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return float(stats.spearmanr(x, y).statistic)


def ranks(values: Numbers) -> Numbers:
    """Rank of each value, from 1; ties get their mean rank."""
    return np.asarray(stats.rankdata(values), np.float64)
