"""Scores as Label Studio stores and sorts them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.strategies.measurement import Measurement
from model.strategies.strategy import Strategy

BAND = 0.1
"""Of the scale, for the batch alone: whatever comes later cannot overtake it."""


def published(
    strategy: Strategy,
    pool: Sequence[Measurement],
    labelled: Sequence[NDArray[np.float32]],
    size: int,
    seed: int,
) -> NDArray[np.float64]:
    """The scores of a pool, such that sorting them the strategy's way begins with its batch.

    If the strategy is not batch-aware they are its own scores. Otherwise the first `size` lie in their order
    in a band at the end that is labelled first, (0.9, 1] or [0, 0.1), and all others keep nine tenths of the
    scale.

    Args:
        pool, labelled, size, seed: as `Strategy.batch` takes them.

    Returns:
        (len(pool),), each in [0, 1].
    """
    scores = np.array([outside_batch(strategy, m, seed) for m in pool], np.float64)
    if strategy.batch_aware:
        chosen = strategy.batch(pool, labelled, size, seed)
        steps = BAND * np.arange(len(chosen)) / max(1, len(chosen))
        scores[chosen] = 1 - steps if strategy.highest_first else steps
    return scores


def outside_batch(strategy: Strategy, m: Measurement, seed: int = 0) -> float:
    """The score in [0, 1] of an image that is not in the batch, or that comes when it has been chosen."""
    score = strategy.score(m, seed)
    if not strategy.batch_aware:
        return score
    return (1 - BAND) * score if strategy.highest_first else BAND + (1 - BAND) * score
