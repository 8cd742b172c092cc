"""Checkpoints are loaded completely or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from model.network import NetworkSettings
from model.training.checkpoint import (
    FILE,
    Checkpoint,
    load_checkpoint,
    optimiser_tensors,
    restore_optimiser,
    run_fingerprint,
    save_checkpoint,
    shape,
)
from model.training.dataset import Example


def _stepped(seed: int = 0) -> tuple[nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4))
    nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)
    optimiser = torch.optim.AdamW(network.parameters(), lr=0.01)
    network(torch.randn(2, 1, 8, 8)).square().mean().backward()
    optimiser.step()
    return network, optimiser


def test_a_checkpoint_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    network, optimiser = _stepped()
    tensors = {**network.state_dict(), **optimiser_tensors(optimiser)}
    state = {"step": 7, "history": [{"loss": 0.5}]}
    save_checkpoint(tmp_path / "new" / "place", Checkpoint(tensors, state), fingerprint="f")
    found = load_checkpoint(tmp_path / "new" / "place", fingerprint="f")
    assert found is not None
    assert found.state == state
    assert found.tensors.keys() == tensors.keys()
    assert all(torch.equal(found.tensors[name], tensor) for name, tensor in tensors.items())
    assert [path.name for path in (tmp_path / "new" / "place").iterdir()] == [FILE]


def test_a_checkpoint_of_another_run_is_ignored(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, Checkpoint({"w": torch.ones(1)}), fingerprint="one")
    assert load_checkpoint(tmp_path, fingerprint="two") is None
    assert load_checkpoint(tmp_path / "absent", fingerprint="one") is None


@pytest.mark.parametrize("keep", [0, 4, 60, -1])
def test_a_broken_file_is_ignored(tmp_path: Path, keep: int) -> None:
    save_checkpoint(tmp_path, Checkpoint({"w": torch.ones(50)}), fingerprint="f")
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole[:keep])
    assert load_checkpoint(tmp_path, fingerprint="f") is None


def test_a_pickle_is_never_loaded(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(1)}, tmp_path / FILE)
    assert load_checkpoint(tmp_path, fingerprint="f") is None


def test_a_write_that_fails_leaves_the_old_checkpoint(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, Checkpoint({"w": torch.ones(1)}, {"step": 1}), fingerprint="f")
    with pytest.raises(TypeError):
        save_checkpoint(tmp_path, Checkpoint({"w": torch.ones(1)}, {"step": object()}), fingerprint="f")
    found = load_checkpoint(tmp_path, fingerprint="f")
    assert found is not None
    assert found.state == {"step": 1}


def test_a_restored_optimiser_continues_equally() -> None:
    network, optimiser = _stepped()
    twin, other = _stepped(seed=1)
    twin.load_state_dict(network.state_dict())
    restore_optimiser(other, {name: value.clone() for name, value in optimiser_tensors(optimiser).items()})
    x = torch.randn(2, 1, 8, 8)
    for net, opt in ((network, optimiser), (twin, other)):
        opt.zero_grad()
        net(x).square().mean().backward()
        opt.step()
    for mine, theirs in zip(network.parameters(), twin.parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_the_fingerprint_covers_configuration_data_and_start() -> None:
    start = {"w": torch.zeros(3), "count": torch.tensor(4)}
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    example = Example("x", pixels, pixels % 2)
    base = run_fingerprint({"a": 1}, [example], start)
    assert base == run_fingerprint({"a": 1}, [example], {name: t.clone() for name, t in start.items()})
    others = [
        run_fingerprint({"a": 2}, [example], start),
        run_fingerprint({"a": 1}, [Example("y", pixels, pixels % 2)], start),
        run_fingerprint({"a": 1}, [Example("x", pixels + 1, pixels % 2)], start),
        run_fingerprint({"a": 1}, [Example("x", pixels.T, pixels.T % 2)], start),
        run_fingerprint({"a": 1}, [Example("x", pixels, pixels % 3)], start),
        run_fingerprint({"a": 1}, [example, example], start),
        run_fingerprint({"a": 1}, [example], None),
        run_fingerprint({"a": 1}, [example], start | {"count": torch.tensor(5)}),
    ]
    assert base not in others
    assert len(set(others)) == len(others)


def test_runs_in_which_prompts_shared_the_decoder_are_other_runs() -> None:
    plain, prompted = NetworkSettings(classes=2, width=4), NetworkSettings(classes=2, width=4, prompts=True)
    assert shape(plain) == plain.to_dict(), "runs without prompts resume"
    assert shape(prompted) != prompted.to_dict()
