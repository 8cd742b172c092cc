"""Norms that take their statistics from the image."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import nn

from model.network import DeeplySupervisedUNet, NetworkSettings, Norm
from model.research.norms import NORMS


def network(**shape: float | str) -> DeeplySupervisedUNet:
    torch.manual_seed(0)
    settings = NetworkSettings.from_dict({"classes": 3, "width": 2, **shape})
    return DeeplySupervisedUNet(settings).eval()


def test_each_norm_that_settings_may_name_exists() -> None:
    assert {"batch", *NORMS} == set(get_args(Norm))


@pytest.mark.parametrize("norm", ["instance", "group"])
def test_other_norms_look_at_one_image_at_a_time(norm: str) -> None:
    model = network(norm=norm, width=8).train()
    images = torch.rand(2, 1, 64, 48)
    together, alone = model(images), model(images[:1])
    for several, one in zip(together, alone, strict=True):
        torch.testing.assert_close(several[:1], one, atol=1e-4, rtol=1e-4)
    taught = torch.cat(model.eval()(images[:1]))
    torch.testing.assert_close(taught, torch.cat(alone), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("norm", ["instance", "group"])
def test_other_norms_learn_from_an_image_whose_bottleneck_is_one_pixel(norm: str) -> None:
    model = network(norm=norm, width=17).train()
    torch.cat(model(torch.rand(1, 1, 16, 16))).square().sum().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_group_norm_takes_eight_channels_together_or_as_few_more_as_divide_them() -> None:
    sizes = {}
    for channels in (1, 4, 8, 16, 17, 20, 24, 25, 256):
        layer = NORMS["group"](channels)
        assert isinstance(layer, nn.GroupNorm)
        sizes[channels] = channels // layer.num_groups
    assert sizes == {1: 1, 4: 4, 8: 8, 16: 8, 17: 17, 20: 10, 24: 8, 25: 25, 256: 8}
