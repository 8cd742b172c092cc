"""The network that a training begins with: fresh, or with given weights."""

from __future__ import annotations

import copy

import torch
from torch import nn

from model.network import DeeplySupervisedUNet, NetworkSettings
from model.training.device import TrainingDevice


def start_network(
    settings: NetworkSettings,
    seed: int,
    start: DeeplySupervisedUNet | None,
    device: TrainingDevice,
    *,
    prompts: bool,
) -> DeeplySupervisedUNet:
    """A network on `device` that a training may change; torch's global generator is not changed.

    Args:
        settings: of the network; they may differ from those of `start` in dropout.
        seed: of fresh weights.
        start: weights to fine-tune, which are copied; None for fresh ones.
        device: of the training.
        prompts: whether the layers for prompts learn, if it has them.
    """
    network = _weighted(settings, seed, start).to(device.device)
    nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)
    if network.prompts is not None:
        # Without episodes, weight decay would let them fade.
        network.prompts.requires_grad_(prompts)
    return network


def _weighted(
    settings: NetworkSettings, seed: int, start: DeeplySupervisedUNet | None
) -> DeeplySupervisedUNet:
    if start is not None:
        network = copy.deepcopy(start)
        network.settings = settings
        return network
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return DeeplySupervisedUNet(settings)
