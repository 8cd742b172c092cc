"""Variation of a strategy's batch by noise on the ranking, by spreading it over clusters, or by both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from model.strategies.diversity import clusters, feature_matrix, round_robin
from model.strategies.measurement import Measurement
from model.strategies.strategy import Probe, Strategy, uniform

if TYPE_CHECKING:
    from model.network import NetworkSettings

ROUNDS = 4
"""Labelled batches after which the exponent β of the noise has grown by one."""


class Variation(Strategy):
    """The scores of `base` with another batch than its top.

    Args:
        base: a strategy that is not batch-aware.
        power: draw the batch without replacement, each image with a probability ∝ rank^−β, the best image
            having rank 1: soft-rank acquisition (Kirsch et al. 2023), computed by adding Gumbel noise to −β
            log rank. Ranks make it independent of the scale of the scores. β = 1 + rounds / 4, as a network
            trained on few labels is less reliable. In ClaSP PE (2026) the noise decays as well; the schedule
            is ours.
        clustered: cluster the features into as many clusters as the batch has images, and take the best image
            of each, then the second best of each.
    """

    batch_aware = True

    def __init__(self, base: Strategy, *, power: bool, clustered: bool) -> None:
        self.base, self._power, self._clustered = base, power, clustered
        # The strength of the noise and its random draws depend on the number of labels.
        self.counts_labelled = power
        self.name = base.name + "+power" * power + "+clusters" * clustered
        self.highest_first, self.reads_mask = base.highest_first, base.reads_mask
        self.forwards, self.dropout = base.forwards, base.dropout
        sources = [base.source]
        if power:
            sources.append("soft-rank acquisition: Kirsch et al. 2023 (TMLR)")
        if clustered:
            sources.append("best of each k-means cluster of the features")
        self.source = "; ".join(sources)

    def probe(self) -> Probe | None:
        """That of `base`."""
        return self.base.probe()

    def can_probe(self, network: NetworkSettings) -> bool:
        """As `base`."""
        return self.base.can_probe(network)

    def _score(self, m: Measurement, seed: int) -> float:
        return self.base.score(m, seed)

    def _choose(
        self, pool: Sequence[Measurement], labelled: Sequence[NDArray[np.float32]], size: int, seed: int
    ) -> list[int]:
        ranking = self.ranking(pool, seed)
        if self._power:
            beta = 1 + len(labelled) / size / ROUNDS
            # New noise in each round, so that one unlucky draw does not hold an image back for good.
            ranking = self._soft_ranked(pool, ranking, beta, f"{seed} {len(labelled)}")
        if self._clustered:
            ranking = round_robin(ranking, clusters(feature_matrix(pool), size, seed))
        return ranking[:size]

    def _soft_ranked(
        self, pool: Sequence[Measurement], ranking: list[int], beta: float, purpose: str
    ) -> list[int]:
        noise = {index: _gumbel(uniform(pool[index].key, 0, purpose)) for index in ranking}
        value = {index: noise[index] - beta * math.log(rank) for rank, index in enumerate(ranking, start=1)}
        return sorted(ranking, key=lambda index: -value[index])


def _gumbel(number: float) -> float:
    """Standard Gumbel noise from a uniform number in [0, 1)."""
    return -math.log(-math.log(max(number, 2**-53)))
