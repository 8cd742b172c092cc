"""Batch norm over the batches of all ranks."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from model.training.device import TrainingDevice
from model.training.ranks import summed


def synchronise(network: nn.Module, device: TrainingDevice) -> None:
    """Change the batch norms of a network to normalise by all ranks' shares; weights and names stay.

    torch's own layer for this needs a GPU. On processors it is computed by plain operations, which take more
    memory and time than torch's batch norm.
    """
    if device.device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(network)
        return
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if type(child) is nn.BatchNorm2d:
                setattr(parent, name, SynchronisedNorm(child))


class SynchronisedNorm(nn.BatchNorm2d):
    """Batch norm whose statistics in training are those of all ranks' shares together."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        """Take over weights and statistics of a norm."""
        super().__init__(norm.num_features, norm.eps, norm.momentum)
        self.weight, self.bias = norm.weight, norm.bias
        self.running_mean, self.running_var = norm.running_mean, norm.running_var
        self.num_batches_tracked = norm.num_batches_tracked
        self.train(norm.training)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, H, W), normalised."""
        if not self.training:
            return super().forward(x)
        assert self.running_mean is not None  # norms of the network have statistics
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        assert self.momentum is not None
        values = x.float()
        count = torch.tensor([values.numel() / values.shape[1]], device=x.device)
        sums = _Sum.apply(torch.cat([values.sum((0, 2, 3)), count]))
        count = sums[-1].detach()
        mean = sums[:-1] / count
        centred = values - mean[:, None, None]
        variance = _Sum.apply(centred.square().sum((0, 2, 3))) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * (count / (count - 1)), self.momentum)
        factor = self.weight * (variance + self.eps).rsqrt()
        result: Tensor = centred * factor[:, None, None] + self.bias[:, None, None]
        return result.to(x.dtype)


class _Sum(torch.autograd.Function):
    """The sum over all ranks, each of which uses it: gradients are added up as well."""

    @staticmethod
    def forward(_: Any, values: Tensor) -> Tensor:
        return summed(values)

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        return summed(gradients[0])
