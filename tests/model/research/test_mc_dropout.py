"""Mutual information under MC-dropout, whatever the engine."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.engines import EngineError, EngineName, Probe, create_engine
from model.engines.decoder_rewrite import RewrittenUNet
from model.imaging.preprocessing import to_network
from model.research.mc_dropout import decode, mutual_information
from model.weights import load_version, save_version

Drawing = Callable[..., tuple[NDArray[np.uint8], NDArray[np.uint8]]]

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed"
)
ENGINES = ["torch", pytest.param("openvino", marks=needs_openvino)]


def probe(passes: int) -> Probe:
    return partial(mutual_information, passes=passes)


def with_dropout(version: Path, directory: Path, dropout: float = 0.5) -> Path:
    """The same weights with dropout, as a version of its own."""
    network, card = load_version(version)
    network.settings = replace(network.settings, dropout=dropout)
    save_version(directory, network, replace(card, network=network.settings))
    return directory


@pytest.mark.parametrize("engine", ENGINES)
def test_passes_of_dropout_tell_where_the_weights_disagree(
    any_norm: Path, draw: Drawing, tmp_path: Path, engine: EngineName
) -> None:
    directory = with_dropout(any_norm, tmp_path / "v")
    runner = create_engine(load_version(directory)[0], directory, engine=engine, precision="fp32")
    x = to_network(draw(7, 161, 101)[0])
    plain, sampled, again = runner.run(x), runner.run(x, probe(4)), runner.run(x, probe(4))
    assert plain.probed is None
    assert sampled.probed is not None
    assert again.probed is not None
    assert sampled.probed.shape == (161, 101)
    assert 0 <= sampled.probed.min() < sampled.probed.max() <= 1
    assert np.array_equal(sampled.probed, again.probed), "random draws are seeded"
    assert np.abs(sampled.probabilities - plain.probabilities).max() <= 1e-4, "the masks are without dropout"
    one = runner.run(x, probe(1)).probed
    assert one is not None
    assert one.max() <= 1e-5, "a single pass agrees with itself"


@pytest.mark.parametrize("engine", ENGINES)
def test_passes_without_dropout_are_refused_in_one_sentence(version: Path, engine: EngineName) -> None:
    runner = create_engine(load_version(version)[0], version, engine=engine)
    with pytest.raises(EngineError, match="without dropout"):
        runner.run(np.zeros((1, 16, 16), np.float32), probe(2))


def test_passes_equal_the_trained_network_with_its_maps_left_out(any_norm: Path, tmp_path: Path) -> None:
    network, _ = load_version(with_dropout(any_norm, tmp_path / "v", dropout=0.3))
    rewritten = RewrittenUNet(network)
    x = torch.rand(1, 1, 64, 48, generator=torch.Generator().manual_seed(0))
    kept = [torch.ones(1, network.settings.widths[level], 1, 1) for level in (-1, -2)]
    kept[0][:, ::3], kept[1][:, 1::2] = 0, 0
    network.encoder[-1].register_forward_hook(lambda *seen: seen[2] * kept[0])
    network.decoder[0].register_forward_hook(lambda *seen: seen[2] * kept[1])
    with torch.inference_mode():
        expected = torch.softmax(torch.cat(network(x)), dim=1)
        result = rewritten.classify(decode(rewritten, rewritten.encode(x), (kept[0], kept[1])))
    assert (result - expected).abs().max() <= 1e-4
