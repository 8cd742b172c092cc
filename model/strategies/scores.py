"""Scores as they are published to Label Studio, which sorts images by them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.strategies.measurement import Measurement
from model.strategies.strategy import Strategy

BATCH_BAND = 0.1
"""Share of the score range reserved for the batch, so that images scored later cannot rank above it."""


def published(
    strategy: Strategy,
    pool: Sequence[Measurement],
    labelled: Sequence[NDArray[np.float32]],
    size: int,
    seed: int,
) -> NDArray[np.float64]:
    """Scores of a pool whose order, in the strategy's direction, begins with its batch.

    For strategies that are not batch-aware these are the strategy's own scores. Otherwise the batch gets
    evenly spaced scores in its order in the band at the end that is labelled first, (0.9, 1] or [0, 0.1), and
    the scores of all other images are scaled to the remaining nine tenths.

    Args:
        pool, labelled, size, seed: as in `Strategy.batch`.

    Returns:
        (len(pool),), each in [0, 1].

    Raises:
        StrategyError: a measurement lacks a value that the strategy needs.
    """
    scores = np.array([outside_batch(strategy, m, seed) for m in pool], np.float64)
    if strategy.batch_aware:
        chosen = strategy.batch(pool, labelled, size, seed)
        steps = BATCH_BAND * np.arange(len(chosen)) / max(1, len(chosen))
        scores[chosen] = 1 - steps if strategy.highest_first else steps
    return scores


def outside_batch(strategy: Strategy, m: Measurement, seed: int = 0) -> float:
    """Score in [0, 1] of an image outside the batch, or of one that is scored after the batch was chosen.

    Raises:
        StrategyError: the measurement lacks a value that the strategy needs.
    """
    score = strategy.score(m, seed)
    if not strategy.batch_aware:
        return score
    return (1 - BATCH_BAND) * score if strategy.highest_first else BATCH_BAND + (1 - BATCH_BAND) * score
