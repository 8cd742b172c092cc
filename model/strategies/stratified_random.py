"""Stratified random: lots, but from every part of the pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from model.strategies.base import chance
from model.strategies.diversity import clusters, feature_matrix, in_turn
from model.strategies.measurement import Measurement
from model.strategies.random_choice import Random


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
