"""Batches of a strategy that scores images one by one, loosened by noise, spread over clusters, or both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from model.strategies.diversity import clusters, feature_matrix, in_turn
from model.strategies.measurement import Measurement
from model.strategies.strategy import Probe, Strategy, chance

if TYPE_CHECKING:
    from model.network import NetworkSettings

ROUNDS = 4
"""Labelled batches after which the exponent of the noise has grown by one."""


class Variation(Strategy):
    """The scores of `base`; its batch is not simply the top.

    Args:
        base: not batch-aware.
        power: images are drawn without replacement, each with a chance ∝ rank^−β, the best having rank 1:
            soft-rank acquisition of Kirsch et al. (2023), computed by adding Gumbel noise to −β log rank.
            Ranks make it independent of a score's scale. β = 1 + rounds / 4: a network that has seen few
            labels is trusted little. In ClaSP PE (2026) the noise decays as well; the schedule is ours.
        spread: as many clusters of the features as the batch has images, the best of each, then the second
            best of each.
    """

    batch_aware = True

    def __init__(self, base: Strategy, *, power: bool, spread: bool) -> None:
        self.base, self._power, self._spread = base, power, spread
        # Noise fades, and its lots change, with the number of labels.
        self.reads_labelled = power
        self.name = base.name + "+power" * power + "+clusters" * spread
        self.highest_first, self.reads_mask = base.highest_first, base.reads_mask
        self.forwards, self.dropout = base.forwards, base.dropout
        sources = [base.source]
        if power:
            sources.append("soft-rank acquisition: Kirsch et al. 2023 (TMLR)")
        if spread:
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
            ranking = self._loosened(
                pool, ranking, 1 + len(labelled) / size / ROUNDS, f"{seed} {len(labelled)}"
            )
        if self._spread:
            ranking = in_turn(ranking, clusters(feature_matrix(pool), size, seed))
        return ranking[:size]

    def _loosened(self, pool: Sequence[Measurement], ranking: list[int], beta: float, lot: str) -> list[int]:
        # Another lot each round: an image that was unlucky once would be so for ever.
        noise = {index: _gumbel(chance(pool[index].key, 0, lot)) for index in ranking}
        value = {index: noise[index] - beta * math.log(rank) for rank, index in enumerate(ranking, start=1)}
        return sorted(ranking, key=lambda index: -value[index])


def _gumbel(uniform: float) -> float:
    """Standard Gumbel noise from a uniform number in [0, 1)."""
    return -math.log(-math.log(max(uniform, 2**-53)))
