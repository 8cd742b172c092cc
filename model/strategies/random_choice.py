"""Random: the baseline that every other strategy has to beat."""

from __future__ import annotations

from model.strategies.base import Strategy, chance
from model.strategies.measurement import Measurement


class Random(Strategy):
    """A lot for each image, by its key and the seed.

    Blank masks are not put last: a baseline must not look, and before the first training all are blank.
    """

    name = "random"
    source = "what Zhao et al. 2020 compare with"
    forwards = 0.0
    reads_mask = False

    def _score(self, m: Measurement, seed: int) -> float:
        return chance(m.key, seed)
