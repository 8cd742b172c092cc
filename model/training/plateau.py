"""When a training has converged, and how its learning rate falls from then on.

A training that goes on after it has converged costs annotators minutes and improves nothing: from the shipped
weights, seven hands are learned after about 75 s of the 600 s that a training may take. It is over when its
validation Dice has stopped rising or, if nothing is validated, when its loss has stopped falling. The weights
of a single step are noisy, so the learning rate then falls to its floor within a short cool-down.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from model.training.optimisation import FLOOR
from model.training.settings import Progress

BLOCK = 50
"""Steps over which the loss is averaged."""
PATIENCE = 2
"""Blocks without a clear gain after which the loss has stopped falling."""
LOSS_GAIN = 0.05
"""Smallest clear gain: share of the lowest loss so far."""

VALIDATIONS = 6
"""Validations without a clear gain after which the Dice has stopped rising."""
DSC_GAIN = 0.002
"""Smallest clear gain of the Dice."""

COOL_DOWN = 0.2
"""Steps of the cool-down as a share of the steps before it."""
MIN_COOL_DOWN = 20
"""Fewest steps of the cool-down."""


def has_converged(history: Sequence[Progress]) -> bool:
    """Whether a training has stopped improving, by its steps so far.

    Decided by the validation Dice if there is any, else by the loss; only after steps that were validated, or
    that end a block.
    """
    if any(one.validation_dsc is not None for one in history[: BLOCK + 1]):
        return _stopped_rising([one.validation_dsc for one in history if one.validation_dsc is not None])
    losses = [one.loss for one in history if one.step > 0]
    return len(losses) % BLOCK == 0 and _stopped_falling(losses)


def cool_down_steps(step: int) -> int:
    """Steps of the cool-down of a training that converged at `step`."""
    return max(MIN_COOL_DOWN, round(COOL_DOWN * step))


def cool_down_factor(step: int, converged_at: int) -> float:
    """Factor of the learning rate at a step of the cool-down: from 1 linearly down to `FLOOR`."""
    share = min((step - converged_at) / cool_down_steps(converged_at), 1.0)
    return 1.0 - share * (1.0 - FLOOR)


def _stopped_rising(dsc: Sequence[float]) -> bool:
    before, latest = dsc[:-VALIDATIONS], dsc[-VALIDATIONS:]
    return bool(before) and max(latest) < max(before) + DSC_GAIN


def _stopped_falling(losses: Sequence[float]) -> bool:
    blocks = [_mean(losses[first : first + BLOCK]) for first in range(0, len(losses), BLOCK)]
    before, latest = blocks[:-PATIENCE], blocks[-PATIENCE:]
    return bool(before) and min(latest) > (1 - LOSS_GAIN) * min(before)


def _mean(losses: Sequence[float]) -> float:
    """Mean of the finite losses; infinite if none is, as a block of skipped steps is no gain."""
    finite = [loss for loss in losses if math.isfinite(loss)]
    return float(np.mean(finite)) if finite else math.inf
