"""Strategies that cover the pool: random, stratified, core-set and suggestive annotation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from model.strategies.diversity import best_cover, clusters, farthest_first, feature_matrix, in_turn
from model.strategies.measurement import Measurement
from model.strategies.strategy import Strategy, chance
from model.strategies.uncertainty import Entropy


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


class CoreSet(Random):
    """Greedy k-centre of the features, labelled images being the first centres; what follows is by lot.

    It does not look at masks, so blank ones are not put last: they may lie where nothing is labelled yet.
    """

    name = "core-set"
    source = "Sener & Savarese 2018 (ICLR), algorithm 1, on bottleneck features"
    forwards = 1.0
    batch_aware = True
    reads_labelled = True

    def _choose(
        self,
        pool: Sequence[Measurement],
        labelled: Sequence[NDArray[np.float32]],
        size: int,
        seed: int,  # noqa: ARG002
    ) -> list[int]:
        return farthest_first(feature_matrix(pool), labelled, size)


class StratifiedRandom(Random):
    """One image by lot from each stratum, then a second one, and so on.

    Args:
        groups: the stratum of each image by its key, such as an age group; by default as many clusters of the
            features as the batch has images.
    """

    name = "stratified-random"
    source = "stratified sampling (Cochran 1977, chapter 5) over k-means clusters of the features"
    batch_aware = True

    def __init__(self, groups: Mapping[str, str] | None = None) -> None:
        self._groups = groups
        self.forwards = 1.0 if groups is None else 0.0

    def _choose(
        self,
        pool: Sequence[Measurement],
        labelled: Sequence[NDArray[np.float32]],  # noqa: ARG002
        size: int,
        seed: int,
    ) -> list[int]:
        strata: Sequence[str | int]
        if self._groups is None:
            strata = clusters(feature_matrix(pool), size, seed)
        else:
            strata = [self._groups[m.key] for m in pool]
        lots = sorted(range(len(pool)), key=lambda index: chance(pool[index].key, seed, "strata"))
        return in_turn(lots, strata)[:size]


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
