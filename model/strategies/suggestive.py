"""Suggestive annotation: uncertain images that stand for many others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.strategies.diversity import best_cover, feature_matrix
from model.strategies.entropy import Entropy
from model.strategies.measurement import Measurement

CANDIDATES = 2
"""So many times the batch are looked at: the paper chooses 8 out of the 16 most uncertain."""


class Suggestive(Entropy):
    """Of the most uncertain images those that, as a set, are most similar to the whole pool.

    Adapted from Yang et al. (2017): predictive entropy takes the place of the variance over four networks.
    Features are the bottleneck's, as in the paper.
    """

    name = "suggestive"
    source = "Yang et al. 2017 (MICCAI; reference 11 of Zhao et al. 2020), with entropy for uncertainty"
    batch_aware = True

    def _choose(
        self,
        pool: Sequence[Measurement],
        labelled: Sequence[NDArray[np.float32]],  # noqa: ARG002
        size: int,
        seed: int,
    ) -> list[int]:
        return best_cover(feature_matrix(pool), self.ranking(pool, seed)[: CANDIDATES * size], size)
