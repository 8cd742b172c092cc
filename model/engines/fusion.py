"""oneDNN convolutions with packed weights, fused with sum and ReLU, for processors.

torch runs a convolution, a sum and a ReLU as three passes over memory and converts the weights to
oneDNN's layout at every call. The operators that torch's compiler emits need one pass, with weights
packed once: 165 → 151 ms for one 608×608 image, without the half minute that compiling takes.
They are not part of torch's documented interface; therefore `can_fuse` tries them.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn

from model.engines.decoder_rewrite import ConvolutionReLU, ConvolutionSumReLU

PACKING_SIZE = 64
"""Height and width that weights are packed for; other sizes run as well, with the same results."""


class FusedConvolutionReLU(nn.Module):
    """`ConvolutionReLU` in one pass."""

    def __init__(self, plain: ConvolutionReLU) -> None:
        super().__init__()
        weight, bias = plain.convolution.weight.detach(), plain.convolution.bias
        shape = [1, weight.shape[1], PACKING_SIZE, PACKING_SIZE]
        ones = [1, 1]
        self._weight: Tensor = _operators()._reorder_convolution_weight(weight, ones, ones, ones, 1, shape)
        self._bias = cast(Tensor, bias).detach()

    def forward(self, x: Tensor) -> Tensor:
        """relu(conv(x))."""
        ones = [1, 1]
        result: Tensor = _operators()._convolution_pointwise(
            x, self._weight, self._bias, ones, ones, ones, 1, "relu", [], ""
        )
        return result


class FusedConvolutionSumReLU(FusedConvolutionReLU):
    """`ConvolutionSumReLU` in one pass."""

    def forward(self, x: Tensor, other: Tensor) -> Tensor:  # type: ignore[override]
        """relu(other + conv(x)), written over `other`."""
        ones = [1, 1]
        result: Tensor = _operators()._convolution_pointwise_.binary(
            other, x, self._weight, self._bias, ones, ones, ones, 1, "add", 1.0, "relu", [], ""
        )
        return result


def fuse(module: nn.Module) -> None:
    """Replace each `ConvolutionReLU` and `ConvolutionSumReLU` without a norm by its fused form."""
    for name, child in module.named_children():
        if isinstance(child, ConvolutionReLU) and not isinstance(child.norm, nn.Identity):
            continue
        if isinstance(child, ConvolutionSumReLU):
            setattr(module, name, FusedConvolutionSumReLU(child))
        elif isinstance(child, ConvolutionReLU):
            setattr(module, name, FusedConvolutionReLU(child))
        else:
            fuse(child)


def can_fuse(dtype: torch.dtype) -> bool:
    """Whether this build of torch and this processor run the fused operators for `dtype`."""
    if not torch.backends.mkldnn.is_available():
        return False
    plain = ConvolutionSumReLU(torch.zeros(8, 8, 3, 3), torch.zeros(8), nn.Identity()).to(dtype)
    x = torch.zeros(1, 8, 4, 4, dtype=dtype)
    try:
        with torch.inference_mode():
            FusedConvolutionSumReLU(plain)(x, FusedConvolutionReLU(plain)(x))
    except (AttributeError, RuntimeError):
        # A missing operator raises AttributeError, a processor without the instructions RuntimeError.
        return False
    return True


def _operators() -> Any:
    return torch.ops.mkldnn
