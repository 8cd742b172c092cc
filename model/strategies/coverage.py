"""Strategies that choose images to represent the pool: random, stratified random, core-set, suggestive.

- `Random` is the baseline that every other strategy has to beat.
- `StratifiedRandom` draws at random, but from every part of the pool.
- `CoreSet` chooses the images that are farthest from all labelled ones.
- `Suggestive` chooses uncertain images that are similar to many others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from model.strategies.diversity import best_cover, clusters, farthest_first, feature_matrix, round_robin
from model.strategies.measurement import Measurement
from model.strategies.strategy import Strategy, uniform
from model.strategies.uncertainty import Entropy

CANDIDATE_FACTOR = 2
"""Candidates of `Suggestive` per image of the batch: Yang et al. choose 8 of the 16 most uncertain."""


class Random(Strategy):
    """A uniform random score for each image, which depends only on its key and the seed.

    Blank masks are not ranked last: a baseline must ignore predictions, and before the first training all
    masks are blank.
    """

    name = "random"
    source = "what Zhao et al. 2020 compare with"
    forwards = 0.0
    reads_mask = False

    def _score(self, m: Measurement, seed: int) -> float:
        return uniform(m.key, seed)


class StratifiedRandom(Random):
    """One random image from each stratum, then a second one from each, and so on.

    Args:
        groups: stratum of each image by its key, such as an age group. By default the strata are k-means
            clusters of the features, as many as the batch has images.
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
        shuffled = sorted(range(len(pool)), key=lambda index: uniform(pool[index].key, seed, "strata"))
        return round_robin(shuffled, strata)[:size]


class CoreSet(Random):
    """Greedy k-centre on the features, with the labelled images as the first centres.

    Images outside the batch get random scores. Masks are not read, so blank ones are not ranked last: they
    may be in a part of the pool that has no labels yet.
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


class Suggestive(Entropy):
    """From the most uncertain images, the set that is most similar to the whole pool.

    Adapted from Yang et al. (2017): predictive entropy replaces the variance over four networks. Similarity
    is that of the bottleneck features, as in the paper.
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
        return best_cover(feature_matrix(pool), self.ranking(pool, seed)[: CANDIDATE_FACTOR * size], size)
