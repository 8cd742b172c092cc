"""An exact, cheaper form of the network for inference.

Batch norm in evaluation mode is a scale and a shift per channel, and goes into the convolution before
it. The decoder's first convolution becomes a transposed one over the small map (see `model.network`)
plus one over the encoder's features, with the weights of both summed and cut out once and for all:
157 → 127 GFLOP for one 608×608 image.

Norms that take their statistics from the image at hand cannot be folded: they stay where they are, in the
decoder behind the sum of the two convolutions.
"""

from __future__ import annotations

import copy
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from model.network import ConvolutionBlock, DecoderBlock, DeeplySupervisedUNet, GroupNorm, transposed_weight


def fold(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Weight (O, I, k, k) and bias (O,) of the convolution that equals `norm(convolution(x))`."""
    mean, variance = cast(Tensor, norm.running_mean).double(), cast(Tensor, norm.running_var).double()
    scale = norm.weight.detach().double() / torch.sqrt(variance + norm.eps)
    weight = convolution.weight.detach().double() * scale[:, None, None, None]
    bias = norm.bias.detach().double() - mean * scale
    return weight.float(), bias.float()


class ConvolutionReLU(nn.Module):
    """A 3×3 convolution with bias and its ReLU: (N, I, H, W) → (N, O, H, W)."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.convolution = _convolution(weight, bias)

    def forward(self, x: Tensor) -> Tensor:
        """relu(conv(x))."""
        return F.relu(self.convolution(x), inplace=True)


class ConvolutionSumReLU(ConvolutionReLU):
    """A 3×3 convolution whose result is added to another map before the ReLU."""

    def forward(self, x: Tensor, other: Tensor) -> Tensor:  # type: ignore[override]
        """relu(other + conv(x)); `other` may be overwritten."""
        return F.relu(other + self.convolution(x), inplace=True)


class ConvolutionNormReLU(nn.Module):
    """A 3×3 convolution, a norm that cannot be folded, and a ReLU: (N, I, H, W) → (N, O, H, W)."""

    def __init__(self, weight: Tensor, norm: GroupNorm) -> None:
        super().__init__()
        self.convolution = _convolution(weight)
        self.norm = copy.deepcopy(norm)

    def forward(self, x: Tensor) -> Tensor:
        """relu(norm(conv(x)))."""
        return F.relu(self.norm(self.convolution(x)), inplace=True)


class ConvolutionSumNormReLU(ConvolutionNormReLU):
    """A 3×3 convolution whose result is added to another map before the norm."""

    def forward(self, x: Tensor, other: Tensor) -> Tensor:  # type: ignore[override]
        """relu(norm(other + conv(x))); `other` is overwritten."""
        return F.relu(self.norm(other.add_(self.convolution(x))), inplace=True)


class FoldedBlock(nn.Module):
    """`ConvolutionBlock` in evaluation mode with batch norm folded away; other norms stay."""

    def __init__(self, block: ConvolutionBlock) -> None:
        super().__init__()
        self.first = _normalised(block.first, block.first_norm)
        self.second = _normalised(block.second, block.second_norm)

    def forward(self, x: Tensor) -> Tensor:
        """Features of the same height and width."""
        features: Tensor = self.second(self.first(x))
        return features


class RewrittenDecoderBlock(nn.Module):
    """`DecoderBlock` in evaluation mode without the enlarged map and without the concatenation."""

    def __init__(self, block: ConvolutionBlock) -> None:
        super().__init__()
        norm, weight = block.first_norm, block.first.weight.detach()
        deep = weight.shape[1] - weight.shape[0]
        self.skip: nn.Module
        if isinstance(norm, nn.BatchNorm2d):
            weight, bias = fold(block.first, norm)
            self.skip = ConvolutionSumReLU(weight[:, deep:].contiguous(), bias)
        else:
            self.skip = ConvolutionSumNormReLU(weight[:, deep:].contiguous(), norm)
        self.deep = nn.ConvTranspose2d(deep, weight.shape[0], 4, stride=2, padding=1, bias=False)
        self.deep.weight = nn.Parameter(transposed_weight(weight[:, :deep].double()).float().contiguous())
        self.second = _normalised(block.second, block.second_norm)

    def forward(self, deep: Tensor, skip: Tensor) -> Tensor:
        """(N, deep, H/2, W/2) and (N, skip, H, W) → (N, skip, H, W)."""
        features: Tensor = self.second(self.skip(skip, self.deep(deep)))
        return features


class RewrittenUNet(nn.Module):
    """A trained network in the form that engines run.

    Args:
        network: the network to rewrite, on the CPU; it is left as it is.
    """

    def __init__(self, network: DeeplySupervisedUNet) -> None:
        super().__init__()
        self.stride = network.settings.stride
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
        return self.classify(self.decode(skips)), pooled(skips[-1])

    def encode(self, x: Tensor) -> list[Tensor]:
        """What each level of the encoder gives, full resolution first."""
        skips: list[Tensor] = []
        for level, block in enumerate(self.encoder):
            x = block(F.max_pool2d(x, 2) if level else x)
            skips.append(x)
        return skips

    def decode(self, skips: list[Tensor], kept: tuple[Tensor, Tensor] | None = None) -> list[Tensor]:
        """The bottleneck, then what each block of the decoder gives, full resolution last.

        Args:
            skips: of `encode`.
            kept: factors (1, channels, 1, 1) of the bottleneck and of the decoder's deepest block, as dropout
                makes them in training; None for no dropout.
        """
        decoded = [skips[-1] if kept is None else skips[-1] * kept[0]]
        for level, (block, skip) in enumerate(zip(self.decoder, skips[-2::-1], strict=True)):
            features = block(decoded[-1], skip)
            decoded.append(features if kept is None or level else features * kept[1])
        return decoded

    def classify(self, decoded: list[Tensor]) -> Tensor:
        """Probabilities of the three classifiers, float32 (3, C, H, W)."""
        lower = _enlarge(self.lower(decoded[-3]).float(), 4)
        middle = _enlarge(self.middle(decoded[-2]).float(), 2)
        return torch.softmax(torch.cat((lower, middle, self.final(decoded[-1]).float())), dim=1)


def pooled(features: Tensor) -> Tensor:
    """The maximum over the pixels of (1, channels, h, w), float32 (channels,)."""
    return features.amax((2, 3))[0].float()


def _enlarge(logits: Tensor, factor: int) -> Tensor:
    # By factor and not by size, so that a traced graph keeps its height and width free.
    return F.interpolate(logits, scale_factor=float(factor), mode="bilinear", align_corners=False)


def _normalised(convolution: nn.Conv2d, norm: nn.BatchNorm2d | GroupNorm) -> nn.Module:
    if isinstance(norm, nn.BatchNorm2d):
        return ConvolutionReLU(*fold(convolution, norm))
    return ConvolutionNormReLU(convolution.weight.detach().clone(), norm)


def _convolution(weight: Tensor, bias: Tensor | None = None) -> nn.Conv2d:
    outputs, inputs, size, _ = weight.shape
    convolution = nn.Conv2d(inputs, outputs, size, padding=size // 2, bias=bias is not None)
    convolution.weight = nn.Parameter(weight)
    convolution.bias = None if bias is None else nn.Parameter(bias)
    return convolution
