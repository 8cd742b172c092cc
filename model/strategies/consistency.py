"""Consistency: the paper's strategy."""

from __future__ import annotations

from typing import ClassVar

from model.strategies.base import Strategy
from model.strategies.measurement import Measurement


class Consistency(Strategy):
    """Images whose hidden classifiers agree most with the final one come first: mean of L-DSC and M-DSC."""

    name = "consistency"
    source = "Zhao et al. 2020, equation 3 and section 3.3"
    highest_first: ClassVar[bool] = True

    def _score(self, m: Measurement, seed: int) -> float:  # noqa: ARG002
        return m.consistency.score
