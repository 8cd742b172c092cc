"""Consistency: the paper's strategy."""

from __future__ import annotations

from model.strategies.base import Strategy
from model.strategies.measurement import Measurement


class Consistency(Strategy):
    """Images whose hidden classifiers agree most with the final one come first: mean of L-DSC and M-DSC."""

    name = "consistency"
    source = "Zhao et al. 2020, equation 3, highest first"
    highest_first = True

    def _score(self, m: Measurement, seed: int) -> float:  # noqa: ARG002
        return m.consistency.score
