"""An exact, cheaper form of the network for inference.

Batch norm in evaluation mode is a scale and a shift per channel, and is folded into the convolution before
it. The decoder's first convolution becomes a transposed one over the small map (see `model.network`)
plus one over the encoder's features, with the weights of both summed and sliced once:
157 → 127 GFLOP for one 608×608 image.

A norm that cannot be folded stays behind its convolution, in the decoder behind the sum of the two.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.network import ConvolutionBlock, DecoderBlock, DeeplySupervisedUNet, transposed_weight


def fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight (O, I, k, k) and bias (O,) of the convolution that equals `norm(convolution(x))`."""
    mean, variance = cast(Tensor, norm.running_mean).double(), cast(Tensor, norm.running_var).double()
    scale = norm.weight.detach().double() / torch.sqrt(variance + norm.eps)
    weight = convolution.weight.detach().double() * scale[:, None, None, None]
    bias = norm.bias.detach().double() - mean * scale
    return weight.float(), bias.float()


def folded(convolution: nn.Conv2d, norm: nn.Module) -> tuple[Tensor, Tensor | None, nn.Module]:
    """Weight and bias of a convolution, and the norm that must still follow: the identity if it folds."""
    if isinstance(norm, nn.BatchNorm2d):
        return *fold(convolution, norm), nn.Identity()
    return convolution.weight.detach().clone(), None, copy.deepcopy(norm)


class ConvolutionReLU(nn.Module):
    """A 3×3 convolution, the norm that could not be folded into it, if any, and ReLU.

    (N, I, H, W) → (N, O, H, W). The arguments are those that `folded` returns.
    """

    def __init__(self, weight: Tensor, bias: Tensor | None, norm: nn.Module) -> None:
        super().__init__()
        self.convolution = _convolution(weight, bias)
        self.norm = norm

    def forward(self, x: Tensor) -> Tensor:
        """relu(norm(conv(x)))."""
        return F.relu(self.norm(self.convolution(x)), inplace=True)


class ConvolutionSumReLU(ConvolutionReLU):
    """A 3×3 convolution whose result is added to another map before norm and ReLU."""

    def forward(self, x: Tensor, other: Tensor) -> Tensor:  # type: ignore[override]
        """relu(norm(other + conv(x))); `other` is overwritten."""
        return F.relu(self.norm(other.add_(self.convolution(x))), inplace=True)


class FoldedBlock(nn.Module):
    """`ConvolutionBlock` in evaluation mode with batch norm folded away; other norms stay."""

    def __init__(self, block: ConvolutionBlock) -> None:
        super().__init__()
        self.first = ConvolutionReLU(*folded(block.first, block.first_norm))
        self.second = ConvolutionReLU(*folded(block.second, block.second_norm))

    def forward(self, x: Tensor) -> Tensor:
        """Features of the same height and width."""
        features: Tensor = self.second(self.first(x))
        return features


class RewrittenDecoderBlock(nn.Module):
    """`DecoderBlock` in evaluation mode without the enlarged map and without the concatenation."""

    def __init__(self, block: ConvolutionBlock) -> None:
        super().__init__()
        weight, bias, norm = folded(block.first, block.first_norm)
        deep = weight.shape[1] - weight.shape[0]
        self.skip = ConvolutionSumReLU(weight[:, deep:].contiguous(), bias, norm)
        self.deep = nn.ConvTranspose2d(deep, weight.shape[0], 4, stride=2, padding=1, bias=False)
        self.deep.weight = nn.Parameter(transposed_weight(weight[:, :deep].double()).float().contiguous())
        self.second = ConvolutionReLU(*folded(block.second, block.second_norm))

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """(N, deep, H/2, W/2) and (N, skip, H, W) → (N, skip, H, W)."""
        features: Tensor = self.second(self.skip(skip, self.deep(deep)))
        return features


class RewrittenUNet(nn.Module):
    """A trained network in the form that engines run.

    Args:
        network: the network to rewrite, on the CPU; not changed.
    """

    def __init__(self, network: DeeplySupervisedUNet) -> None:
        super().__init__()
        self.settings, self.stride = network.settings, network.settings.stride
        self.encoder = nn.ModuleList(FoldedBlock(cast(ConvolutionBlock, block)) for block in network.encoder)
        self.decoder = nn.ModuleList(
            RewrittenDecoderBlock(cast(DecoderBlock, block).block) for block in network.decoder
        )
        self.lower, self.middle, self.final = (
            _convolution(head.weight.detach().clone(), cast(Tensor, head.bias).detach().clone())
            for head in (network.lower, network.middle, network.final)
        )
        self.eval().requires_grad_(requires_grad=False)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Classify one image.

        Args:
            x: (1, 1, H, W) with H and W multiples of `stride`.

        Returns:
            float32 probabilities (3, C, H, W) of the lower, middle and final classifier, and the maximum of
            the deepest encoder block over its pixels, float32 (channels,).
        """
        skips = self.encode(x)
        return self.classify(self.decode(skips)), pooled(skips[-1])[0]

    def encode(self, x: Tensor) -> list[Tensor]:
        """The features of each level of the encoder, full resolution first."""
        skips: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            x = block(F.max_pool2d(x, 2) if level else x)
            skips.append(x)
        return skips

    def decode(self, skips: list[Tensor]) -> list[Tensor]:
        """The bottleneck, then the features of each block of the decoder, full resolution last."""
        decoded = [skips[-1]]
        for block, skip in zip(self.decoder, skips[-2::-1], strict=True):
            decoded.append(block(decoded[-1], skip))
        return decoded

    def classify(self, decoded: list[Tensor]) -> Tensor:
        """Probabilities of the three classifiers, float32 (3 · N, C, H, W): first all of the lower one."""
        lower = enlarge_by(self.lower(decoded[-3]).float(), 4)
        middle = enlarge_by(self.middle(decoded[-2]).float(), 2)
        return torch.softmax(torch.cat((lower, middle, self.final(decoded[-1]).float())), dim=1)


def pooled(features: Tensor) -> Tensor:
    """The maximum over the pixels of (N, channels, h, w), float32 (N, channels)."""
    return features.amax((2, 3)).float()


def enlarge_by(logits: Tensor, factor: int) -> Tensor:
    """Logits (N, C, h, w) enlarged bilinearly to (N, C, factor · h, factor · w)."""
    # By factor and not by size, so that a traced graph keeps its height and width free.
    return F.interpolate(logits, scale_factor=float(factor), mode="bilinear", align_corners=False)


def _convolution(weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    outputs, inputs, size, _ = weight.shape
    convolution = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=bias is not None)
    convolution.weight = nn.Parameter(weight)
    convolution.bias = None if bias is None else nn.Parameter(bias)
    return convolution
