"""The score that Label Studio shows for an image, and the priority by which a strategy orders the pool.

The score means one thing under every strategy: the mean of L-DSC and M-DSC. The priority is the strategy's
own number. Where the two differ, Label Studio cannot order by the priority, and the service marks the images
to label next.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from model.consistency import Consistency
from model.strategies.measurement import Measurement
from model.strategies.strategy import Strategy

BATCH_BAND = 0.1
"""Share of the range of priorities reserved for the batch, so that images scored later cannot precede it."""


def published(strategy: Strategy, agreement: Consistency) -> float:
    """The score of an image in [0, 1], equation (3) of Zhao et al. (2020): the mean of L-DSC and M-DSC.

    A blank mask has no meaningful DSC; it gets the value that `strategy`'s direction serves last.
    """
    return last(strategy) if agreement.blank else agreement.score


def last(strategy: Strategy) -> float:
    """The score, and the priority, that is labelled last."""
    return 0.0 if strategy.highest_first else 1.0


def priorities(
    strategy: Strategy,
    pool: Sequence[Measurement],
    labelled: Sequence[NDArray[np.float32]],
    size: int,
    seed: int,
) -> NDArray[np.float64]:
    """Priorities of a pool, whose order, in the strategy's direction, begins with its batch.

    For strategies that are not batch-aware these are the strategy's own scores. Otherwise the batch gets
    evenly spaced numbers in its order in the band at the end that is labelled first, (0.9, 1] or [0, 0.1),
    and the scores of all other images are scaled to the remaining nine tenths.

    Args:
        pool, labelled, size, seed: as in `Strategy.batch`.

    Returns:
        (len(pool),), each in [0, 1].

    Raises:
        StrategyError: a measurement lacks a value that the strategy needs.
    """
    found = np.array([priority(strategy, m, seed) for m in pool], np.float64)
    if strategy.batch_aware:
        chosen = strategy.batch(pool, labelled, size, seed)
        steps = BATCH_BAND * np.arange(len(chosen)) / max(1, len(chosen))
        found[chosen] = 1 - steps if strategy.highest_first else steps
    return found


def priority(strategy: Strategy, m: Measurement, seed: int = 0) -> float:
    """Priority in [0, 1] of an image outside the batch, or of one scored after the batch was chosen.

    Raises:
        StrategyError: the measurement lacks a value that the strategy needs.
    """
    score = strategy.score(m, seed)
    if not strategy.batch_aware:
        return score
    return (1 - BATCH_BAND) * score if strategy.highest_first else BATCH_BAND + (1 - BATCH_BAND) * score
