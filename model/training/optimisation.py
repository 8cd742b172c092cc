"""Budget, learning rate schedule and optimiser of a training run."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

WARM_UP = 0.1
"""Share of the budget during which the learning rate rises to its peak."""
FLOOR = 0.01
"""Share of the peak learning rate that is left at the end of the budget."""


@dataclass(frozen=True)
class Budget:
    """Limit of a run in steps, in seconds, or both, whichever is reached first; None for no limit."""

    steps: int | None
    seconds: float | None

    def spent(self, steps: int, seconds: float) -> float:
        """Share of the budget that is used up, from 0 (start) to 1 (end)."""
        by_steps = steps / self.steps if self.steps else 0.0
        by_seconds = seconds / self.seconds if self.seconds else 0.0
        return min(max(by_steps, by_seconds), 1.0)

    def left(self, steps: int, seconds: float) -> float:
        """Estimated seconds until the end, at the pace so far; infinite before the first step."""
        spent = self.spent(steps, seconds)
        return seconds * (1.0 - spent) / spent if spent else math.inf


def rate_factor(spent: float) -> float:
    """Learning rate as a share of its peak: linear warm-up, then half a cosine down to `FLOOR`.

    Args:
        spent: share of the budget that is used up, in [0, 1].
    """
    if spent < WARM_UP:
        return (spent + FLOOR) / (WARM_UP + FLOOR)
    return FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * (spent - WARM_UP) / (1 - WARM_UP))) / 2


class GuardedAdamW(torch.optim.AdamW):
    """AdamW whose step can be called off by a number that only the device knows.

    A fused AdamW reads `found_inf` on the device, as it must for gradient scaling, and changes neither
    weights nor moments if it is 1. On a processor it takes half the time of the loop over parameters.
    """

    grad_scale: Tensor | None = None
    found_inf: Tensor | None = None

    def step_if(self, counts: Tensor) -> None:
        """Step if `counts`, a boolean on the device of the parameters, is true; does not read it."""
        self.found_inf = (~counts).float()
        self.step()
        self.found_inf = None


def optimiser(network: nn.Module, learning_rate: float, weight_decay: float) -> GuardedAdamW:
    """AdamW of all weights that are learned, with weight decay on convolutions but not on biases and norms.

    The moments and the gradients are allocated here. If they were allocated during the first step, they would
    lie between its activations and fragment memory for all later steps (width 32, 608×608, batch 2: peak
    2.1–2.4 GB instead of 2.0 GB).
    """
    learned = [p for p in network.parameters() if p.requires_grad]
    decayed = [p for p in learned if p.ndim > 1]
    free = [p for p in learned if p.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": weight_decay}, {"params": free, "weight_decay": 0.0}]
    result = GuardedAdamW(groups, lr=0.0, fused=True)
    for parameter in learned:
        parameter.grad = torch.zeros_like(parameter)
    result.step()
    for state in result.state.values():
        state["step"].zero_()
    for group in result.param_groups:
        group["lr"] = learning_rate
    return result
