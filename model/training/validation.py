"""Validation during training: the Dice by which a run selects its best weights, and these weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.imaging.preprocessing import to_network
from model.metrics import mean_dice
from model.network import DeeplySupervisedUNet
from model.training.dataset import Example
from model.training.device import TrainingDevice


@torch.inference_mode()
def validation_dsc(
    network: DeeplySupervisedUNet, examples: Sequence[Example], device: TrainingDevice
) -> float:
    """Mean `mean_dice` of the final masks over the examples, in [0, 1], on the canvas.

    The canvas is cheaper than the original resolution and accurate enough to select among the weights of one
    run; `model.metrics.evaluate` measures what users see. The network is left in evaluation mode.

    Args:
        network: a network on `device`.
        examples: at least one.
        device: where and in which precision to compute.
    """
    network.eval()
    scores = []
    for example in examples:
        image = torch.from_numpy(to_network(example.image))[None]
        with device.autocast():
            logits = network(device.images(image)).final[0]
        # Faster than argmax, which over two channels takes as long as the forward pass of a small network.
        best = logits.argmax(0) if len(logits) > 2 else logits[1] > logits[0]
        scores.append(mean_dice(best.cpu().numpy().astype(np.uint8), example.mask, len(logits) - 1))
    return float(np.mean(scores))


@dataclass(frozen=True)
class Best:
    """The best weights of a run so far, on the CPU, with their step and their validation Dice in [0, 1]."""

    dsc: float
    step: int
    weights: dict[str, Tensor]

    @classmethod
    def of(cls, network: DeeplySupervisedUNet, dsc: float, step: int) -> Best:
        """The weights of a network as they are now."""
        weights = {name: tensor.detach().cpu().clone() for name, tensor in network.state_dict().items()}
        return cls(dsc, step, weights)
