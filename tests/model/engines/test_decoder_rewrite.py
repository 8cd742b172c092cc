from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from model.engines.decoder_rewrite import RewrittenUNet, fold
from model.network import ConvolutionBlock, DeeplySupervisedUNet, NetworkSettings, Norm


def network(classes: int = 3, width: int = 4, levels: int = 5, norm: Norm = "batch") -> DeeplySupervisedUNet:
    """A network whose batch norms have non-trivial statistics, so that folding them changes weights."""
    torch.manual_seed(0)
    model = DeeplySupervisedUNet(NetworkSettings(classes, width, levels, norm=norm)).eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            nn.init.normal_(module.running_mean, 0, 0.2)
            nn.init.uniform_(module.running_var, 0.5, 2)
        if isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.bias, 0, 0.2)
    return model


@torch.inference_mode()
def test_folding_equals_normalising() -> None:
    block = network().encoder[0]
    assert isinstance(block, ConvolutionBlock)
    assert isinstance(block.first_norm, nn.BatchNorm2d)
    x = torch.randn(1, 1, 8, 8)
    expected = block.first_norm(block.first(x))
    torch.testing.assert_close(F.conv2d(x, *fold(block.first, block.first_norm), padding=1), expected)


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
@pytest.mark.parametrize("levels", [3, 4, 5])
@torch.inference_mode()
def test_the_rewritten_network_gives_the_same_probabilities(levels: int, norm: Norm) -> None:
    model = network(levels=levels, norm=norm)
    x = torch.rand(1, 1, 96, 64)
    expected = torch.softmax(torch.cat(model(x)), dim=1)
    result, _ = RewrittenUNet(model)(x)
    assert result.shape == (3, 3, 96, 64)
    assert (result - expected).abs().max() <= 1e-4


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
@torch.inference_mode()
def test_the_original_is_not_changed(norm: Norm) -> None:
    model = network(norm=norm)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    RewrittenUNet(model).to(torch.bfloat16)(torch.rand(1, 1, 16, 16).bfloat16())
    after = model.state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert all(tensor.dtype != torch.bfloat16 for tensor in after.values())
