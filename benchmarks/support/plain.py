"""The network as anyone would first write it: the decoder upsamples, concatenates, convolves."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.network import DecoderBlock, DeeplySupervisedUNet


class PlainDecoderBlock(nn.Module):
    """`model.network.DecoderBlock` without its rewrite, over the same weights."""

    def __init__(self, decoder: DecoderBlock) -> None:
        super().__init__()
        self.block = decoder.block

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """(N, deep, H/2, W/2) and (N, skip, H, W) → (N, skip, H, W)."""
        enlarged = F.interpolate(deep, scale_factor=2.0, mode="nearest")
        features: Tensor = self.block(torch.cat((enlarged, skip), dim=1))
        return features


def as_first_written(network: DeeplySupervisedUNet) -> DeeplySupervisedUNet:
    """The same network with plain decoder blocks; it is changed and returned."""
    network.decoder = nn.ModuleList(PlainDecoderBlock(cast(DecoderBlock, block)) for block in network.decoder)
    return network
