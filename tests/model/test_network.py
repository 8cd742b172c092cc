from __future__ import annotations

from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from model.network import DeeplySupervisedUNet, NetworkError, NetworkSettings, Norm

NORMS: tuple[Norm, ...] = get_args(Norm)


def network(**shape: float | str) -> DeeplySupervisedUNet:
    torch.manual_seed(0)
    settings = NetworkSettings.from_dict({"classes": 3, "width": 2, **shape})
    return DeeplySupervisedUNet(settings).eval()


def test_the_default_network_has_the_size_given_in_the_benchmarks() -> None:
    parameters = DeeplySupervisedUNet(NetworkSettings(classes=2)).parameters()
    assert sum(parameter.numel() for parameter in parameters) == pytest.approx(7.85e6, rel=0.01)


@given(
    height=st.integers(1, 70), width=st.integers(1, 70), batch=st.integers(1, 2), norm=st.sampled_from(NORMS)
)
@settings(max_examples=25, deadline=None)
@torch.inference_mode()
def test_any_size_is_classified_pixel_by_pixel(height: int, width: int, batch: int, norm: Norm) -> None:
    for head in network(norm=norm)(torch.rand(batch, 1, height, width)):
        assert head.shape == (batch, 3, height, width)
        assert head.isfinite().all()


@torch.inference_mode()
def test_an_odd_size_is_padded_by_its_own_edge() -> None:
    image = torch.rand(1, 1, 41, 30)
    by_hand = F.pad(image, (0, 2, 0, 7), "replicate")
    for head, expected in zip(network()(image), network()(by_hand), strict=True):
        assert torch.equal(head, expected[..., :41, :30])


@pytest.mark.parametrize(("classes", "width", "levels"), [(2, 1, 3), (2, 4, 4), (20, 3, 6)])
@torch.inference_mode()
def test_width_levels_and_classes_can_be_chosen(classes: int, width: int, levels: int) -> None:
    model = network(classes=classes, width=width, levels=levels)
    assert all(head.shape == (1, classes, 50, 33) for head in model(torch.rand(1, 1, 50, 33)))
    assert model.settings.widths[-1] == width * 2 ** (levels - 1)


@torch.inference_mode()
def test_the_heads_are_at_a_quarter_half_and_full_resolution() -> None:
    sizes = [tuple(logits.shape[-2:]) for logits in network().logits(torch.rand(1, 1, 64, 32))]
    assert sizes == [(16, 8), (32, 16), (64, 32)]


@torch.inference_mode()
def test_classifying_before_enlarging_equals_enlarging_before_classifying() -> None:
    model = network()
    features: list[torch.Tensor] = []
    model.lower.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    heads = model(torch.rand(1, 1, 64, 48))
    enlarged = F.interpolate(features[0], size=(64, 48), mode="bilinear", align_corners=False)
    classified = F.conv2d(enlarged, model.lower.weight, model.lower.bias)
    torch.testing.assert_close(heads.lower, classified, atol=1e-5, rtol=1e-5)


def test_a_seed_fixes_every_weight() -> None:
    first, second = network().state_dict(), network().state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    torch.manual_seed(1)
    other = DeeplySupervisedUNet(NetworkSettings(classes=3, width=2)).state_dict()
    assert not torch.equal(other["final.weight"], first["final.weight"])


@pytest.mark.parametrize("shape", [{"classes": 1}, {"width": 0}, {"levels": 2}, {"width": 2.5}])
def test_invalid_shapes_are_refused(shape: dict[str, float]) -> None:
    with pytest.raises(NetworkError, match=next(iter(shape))):
        NetworkSettings(**{"classes": 2, **shape})  # type: ignore[arg-type]


def test_dropout_drops_whole_maps_and_changes_no_weights_or_predictions() -> None:
    plain, dropping = network(width=8), network(width=8, dropout=0.5)
    assert all(
        torch.equal(one, other)
        for one, other in zip(plain.state_dict().values(), dropping.state_dict().values(), strict=True)
    )
    x = torch.rand(1, 1, 64, 48)
    with torch.inference_mode():
        assert all(torch.equal(one, other) for one, other in zip(plain(x), dropping(x), strict=True))
        seen: list[torch.Tensor] = []
        dropping.decoder[1].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        dropping.train()
        first, second = dropping(x).final, dropping(x).final
    assert not torch.equal(first, second)
    silent = (seen[0] == 0).all(dim=(2, 3)).float().mean()
    assert 0.2 < silent < 0.8


def test_without_dropout_the_generator_is_not_used() -> None:
    model = network().train()
    before = torch.random.get_rng_state()
    model(torch.rand(2, 1, 32, 32, generator=torch.Generator().manual_seed(0)))
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("dropout", [-0.1, 1.0, "0.5"])
def test_an_invalid_dropout_is_refused(dropout: object) -> None:
    with pytest.raises(NetworkError, match="dropout"):
        NetworkSettings(classes=2, dropout=dropout)  # type: ignore[arg-type]


def test_settings_of_no_dropout_are_written_as_they_always_were() -> None:
    assert NetworkSettings(classes=2).to_dict() == {"classes": 2, "width": 32, "levels": 5}
    dropping = NetworkSettings(classes=2, dropout=0.25)
    assert NetworkSettings.from_dict(dropping.to_dict()) == dropping
    assert dropping.fits(NetworkSettings(classes=2))
    assert not dropping.fits(NetworkSettings(classes=3, dropout=0.25))


def test_a_norm_other_than_the_default_is_written_and_its_weights_fit_no_other() -> None:
    assert NetworkSettings(classes=2, norm="batch").to_dict() == {"classes": 2, "width": 32, "levels": 5}
    for norm in ("instance", "group"):
        found = NetworkSettings.from_dict({"classes": 2, "norm": norm})
        assert found.to_dict()["norm"] == norm
        assert NetworkSettings.from_dict(found.to_dict()) == found
        assert found.fits(NetworkSettings(classes=2, dropout=0.1, norm=found.norm))
        assert not found.fits(NetworkSettings(classes=2))
    with pytest.raises(NetworkError, match="batch, instance, group, not 'layer'"):
        NetworkSettings.from_dict({"classes": 2, "norm": "layer"})


def test_norms_differ_in_nothing_else_that_a_seed_draws() -> None:
    first, *others = (network(norm=norm) for norm in NORMS)
    for other in others:
        drawn = {name: tensor for name, tensor in other.named_parameters() if tensor.ndim == 4}
        assert all(torch.equal(tensor, first.state_dict()[name]) for name, tensor in drawn.items())
        assert set(dict(other.named_parameters())) == set(dict(first.named_parameters()))


def test_settings_survive_json() -> None:
    settings = NetworkSettings(classes=20, width=16)
    assert NetworkSettings.from_dict(settings.to_dict()) == settings
    with pytest.raises(NetworkError):
        NetworkSettings.from_dict({"classes": 2, "depth": 3})
