from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from model.network import DecoderBlock, upsampled_convolution


def as_written(deep: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(F.interpolate(deep, scale_factor=2.0, mode="nearest"), weight, padding=1)


@given(height=st.integers(1, 9), width=st.integers(1, 9), seed=st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_it_equals_convolving_the_enlarged_map_and_so_do_its_gradients(
    height: int, width: int, seed: int
) -> None:
    torch.manual_seed(seed)
    small = torch.randn(2, 3, height, width, requires_grad=True)
    weight = torch.randn(2, 3, 3, 3, requires_grad=True)
    pull = torch.randn(2, 2, 2 * height, 2 * width)
    expected, result = as_written(small, weight), upsampled_convolution(small, weight)
    torch.testing.assert_close(result, expected, atol=1e-4, rtol=1e-4)
    for output in (expected, result):
        output.backward(pull)
        if output is expected:
            small_gradient, weight_gradient = small.grad, weight.grad
            small.grad = weight.grad = None
    torch.testing.assert_close(small.grad, small_gradient, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(weight.grad, weight_gradient, atol=1e-3, rtol=1e-3)


def test_a_decoder_block_is_upsampling_concatenation_and_convolution() -> None:
    torch.manual_seed(0)
    decoder = DecoderBlock(deep=6, skip=4)
    deep, skip = torch.randn(2, 6, 5, 7), torch.randn(2, 4, 10, 14)
    features = torch.cat((nn.Upsample(scale_factor=2, mode="nearest")(deep), skip), dim=1)
    torch.testing.assert_close(decoder(deep, skip), decoder.block(features), atol=1e-4, rtol=1e-4)


def test_weights_are_summed_in_full_precision_under_autocast() -> None:
    torch.manual_seed(0)
    deep, weight = torch.randn(1, 8, 6, 6), torch.randn(4, 8, 3, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        halved = upsampled_convolution(deep, weight)
    assert halved.dtype == torch.bfloat16
    torch.testing.assert_close(halved.float(), as_written(deep, weight), atol=0.25, rtol=0.05)
