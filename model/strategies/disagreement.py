"""Disagreement: the consistency score read from its other end."""

from __future__ import annotations

from model.strategies.base import Strategy
from model.strategies.measurement import Measurement


class Disagreement(Strategy):
    """Images whose hidden classifiers agree least with the final one come first; the number is the same."""

    name = "disagreement"
    source = "Zhao et al. 2021 (DSAL, IEEE J-BHI): hard samples to the annotator; score of equation 3, 2020"

    def _score(self, m: Measurement, seed: int) -> float:  # noqa: ARG002
        return m.consistency.score
