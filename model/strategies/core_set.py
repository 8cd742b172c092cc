"""Core-set: the images that lie farthest from all labelled ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.strategies.diversity import farthest_first, feature_matrix
from model.strategies.measurement import Measurement
from model.strategies.random_choice import Random


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
