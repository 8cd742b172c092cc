"""Norms with the statistics of each image, in training and inference alike, for `NetworkSettings.norm`."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

GROUP = 8
"""Channels that group norm takes together, if their number is a multiple of it."""


class GroupNorm(nn.GroupNorm):
    """Group norm (Wu & He 2018) that also takes single pixels, as bottlenecks may be; torch refuses them."""

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), with each group of channels normalised, scaled and shifted."""
        return torch.group_norm(x, self.num_groups, self.weight, self.bias, self.eps)


class InstanceNorm(GroupNorm):
    """Instance norm (Ulyanov et al. 2016): group norm with one channel per group."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), with each channel normalised, scaled and shifted."""
        # torch's channels-last kernel computes the variance as a difference of two numbers, which may both be
        # large: probabilities were off by 2e-4. In bf16 a training step takes three times as long with it.
        return super().forward(x.contiguous()).contiguous(memory_format=torch.channels_last)


def group_norm(channels: int) -> GroupNorm:
    """Group norm with groups of `GROUP` channels, or larger ones if `channels` is not a multiple of it."""
    most = max(1, channels // GROUP)
    return GroupNorm(next(groups for groups in range(most, 0, -1) if channels % groups == 0), channels)


NORMS: dict[str, Callable[[int], nn.Module]] = {"instance": InstanceNorm, "group": group_norm}
"""The layer for (N, channels, H, W), by name."""
