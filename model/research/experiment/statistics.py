"""The statistics of the comparison: areas, crossings, paired differences, ranks."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

RESAMPLES = 10_000
CONFIDENCE = 0.95
Numbers = NDArray[np.float64]


def normalised_area(budget: Numbers, value: Numbers) -> float:
    """Area under a curve by trapezoids, divided by the length of the budget: a mean height.

    Args:
        budget: (R,) rising.
        value: (R,) at each of them.

    Returns:
        The value itself if there is only one.
    """
    length = float(budget[-1] - budget[0])
    return float(np.trapezoid(value, budget) / length) if length > 0 else float(value[0])


def area_between(budget: Numbers, value: Numbers, first: float, last: float) -> float:
    """`normalised_area` from `first` to `last`, which lie within the budget; linear between its points."""
    inner = (budget > first) & (budget < last)
    points = np.concatenate(([first], budget[inner], [last]))
    return normalised_area(points, np.interp(points, budget, value))


def crossing(budget: Numbers, value: Numbers, target: float) -> float | None:
    """The first budget at which a curve reaches the target, linear between its points; None if never."""
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
    """An arm less the reference, paired by seed.

    Attributes:
        mean: of the differences.
        low, high: percentile bootstrap interval of the mean over seeds (95 %).
        p: two-sided paired t-test.
    """

    mean: float
    low: float
    high: float
    p: float


def paired_difference(arm: Numbers, reference: Numbers) -> PairedDifference | None:
    """Compare two arms, one number a seed in the same order; None with fewer than two seeds."""
    differences = arm - reference
    if len(differences) < 2:
        return None
    # Seeded, so that a resumed experiment writes the same summary.
    draws = np.random.default_rng(0).choice(differences, (RESAMPLES, len(differences))).mean(axis=1)
    low, high = np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return PairedDifference(float(differences.mean()), float(low), float(high), _paired_p(differences))


def _paired_p(differences: Numbers) -> float:
    """Equal differences leave the t-test without a variance: certain if they are not zero."""
    if np.ptp(differences) == 0:
        return 1.0 if differences[0] == 0 else 0.0
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down correction: p values adjusted for so many tests, in the order given."""
    adjusted = np.empty(len(p_values))
    highest = 0.0
    for rank, index in enumerate(np.argsort(p_values, kind="stable")):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = highest
    return [float(value) for value in adjusted]


def rank_correlation(x: Numbers, y: Numbers) -> float | None:
    """Spearman's coefficient; None if one of them is constant or there are fewer than three pairs."""
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return float(stats.spearmanr(x, y).statistic)


def ranks(values: Numbers) -> Numbers:
    """Rank of each value from 1, ties sharing their mean rank."""
    return np.asarray(stats.rankdata(values), np.float64)
