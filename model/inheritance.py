"""Weights for other classes: what a network has learned, carried over when a project's labels change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from model.network import DeeplySupervisedUNet

SHADOW_BIAS = 1.0
"""By how much a new class's logits lie below the background's at first; see `carried_over`."""


def carried_over(network: DeeplySupervisedUNet, origins: Sequence[int | None]) -> DeeplySupervisedUNet:
    """A network with other classes that knows all that `network` knows of those that stay.

    Encoder, decoder, and in each of the three classifiers the channels of the background and of the classes
    that stay are copied. A new class starts as the background's shadow: its weights, its bias lowered by
    `SHADOW_BIAS`. So no pixel is given to it before training says so, and what was learned of the others is
    not disturbed by a random classifier's noise; the gradient tells it from the background at once.

    Args:
        network: the present one; not changed.
        origins: for each new label its class index in `network`, or None for a label that it does not know.

    Returns:
        A network of `len(origins)` + 1 classes, in the mode (training or evaluation) of `network`.
    """
    settings = replace(network.settings, classes=len(origins) + 1)
    with torch.random.fork_rng(devices=[]):
        result = DeeplySupervisedUNet(settings)
    weights = network.state_dict()
    for name in ("lower", "middle", "final"):
        head = getattr(network, name)
        weights |= {f"{name}.{key}": value for key, value in _channels(head, origins).items()}
    result.load_state_dict(weights)
    return result.train(network.training)


def _channels(head: nn.Conv2d, origins: Sequence[int | None]) -> dict[str, Tensor]:
    assert head.bias is not None  # every classifier of the network has one
    chosen = [0, *(origin or 0 for origin in origins)]
    weight, bias = head.weight.detach()[chosen], head.bias.detach()[chosen]
    fresh = torch.tensor([False, *(origin is None for origin in origins)], device=bias.device)
    return {"weight": weight, "bias": bias - SHADOW_BIAS * fresh}
