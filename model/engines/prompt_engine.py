"""The network with prompts, ready to run: the same optimisations as for masks, on windows of one image."""

from __future__ import annotations

import copy
import threading
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from model.engines.decoder_rewrite import RewrittenUNet
from model.engines.fusion import can_fuse, fuse
from model.engines.hardware import find_device, find_precision
from model.engines.interface import Precision
from model.engines.torch_engine import DTYPES
from model.freed_memory import keep_freed_memory
from model.network import ConvolutionBlock, DeeplySupervisedUNet, NetworkError


class PromptEngine:
    """Answers with the probability of belonging to what is marked; threads may share it.

    Args:
        network: with layers for prompts, on the CPU; not changed.
        device: "cpu", "cuda", "cuda:1", …, or "auto": CUDA if available.
        precision: see `TorchEngine`.

    Raises:
        NetworkError: the network has no layers for prompts.
        EngineError: the device is not available.
    """

    def __init__(
        self, network: DeeplySupervisedUNet, *, device: str = "cpu", precision: Precision = "auto"
    ) -> None:
        self._device = find_device(device)
        self.precision = find_precision(self._device, precision)
        self._dtype = DTYPES[self.precision]
        rewritten = RewrittenUNet(grown(network)).to(self._device, self._dtype)
        self._network = rewritten.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self._device.type == "cpu":
            keep_freed_memory()
            if can_fuse(self._dtype):
                fuse(self._network)
        self._lock = threading.Lock()

    def __call__(self, image: NDArray[np.float32], maps: NDArray[np.float32]) -> NDArray[np.float32]:
        """The probabilities (S, S) of a window.

        Args:
            image: (1, S, S) in [0, 1], S a multiple of the network's stride.
            maps: (CHANNELS, S, S) of 0 and 1.
        """
        x = torch.from_numpy(np.concatenate((image, maps)))[None].to(self._device, self._dtype)
        network = self._network
        with self._lock, torch.inference_mode():
            features = network.decode(network.encode(x.contiguous(memory_format=torch.channels_last)))[-1]
            probabilities = network.final(features).float().softmax(1)[0, 1].cpu()
        return np.asarray(probabilities.numpy())


def grown(network: DeeplySupervisedUNet) -> DeeplySupervisedUNet:
    """A network whose first convolution reads image and maps, and whose decoder is that of the prompts.

    Its `logits` of (N, 1 + CHANNELS, H, W) are those of `network.prompted`, up to rounding.

    Raises:
        NetworkError: the network has no layers for prompts.
    """
    if network.prompts is None:
        raise NetworkError("This network has no layers for prompts; `with_prompts` adds them.")
    result = copy.deepcopy(network)
    prompts = result.prompts
    assert prompts is not None  # copied
    encoder = [cast(ConvolutionBlock, block) for block in result.encoder]
    first = encoder[0].first
    convolution = nn.Conv2d(1 + prompts.maps.in_channels, first.out_channels, 3, padding=1, bias=False)
    convolution.weight = nn.Parameter(torch.cat((first.weight, prompts.maps.weight), dim=1).detach())
    encoder[0].first = convolution
    norms = prompts.in_turn()
    for block in encoder:
        block.first_norm, block.second_norm = next(norms), next(norms)
    result.decoder, result.final = prompts.decoder, prompts.classifier
    result.prompts = None
    return result
