"""Steps wait for no device, and steps that do not count change nothing."""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from model.loss import LossWeights
from model.network import DeeplySupervisedUNet, Heads, NetworkSettings, Norm, with_prompts
from model.training import device as devices
from model.training.batches import Batches
from model.training.continuous import Examples, train_continuously
from model.training.device import CPU
from model.training.optimisation import optimiser
from model.training.run import TrainingError
from model.training.settings import Progress
from model.training.stepping import Stepper
from tests.model.squares import LABELS, NETWORK, SETTINGS, TRAINING, VALIDATION, run, same, square
from tests.model.training.test_continuous import Script

pytestmark = pytest.mark.usefixtures("one_thread")


class _Reads(TorchDispatchMode):
    """Notes the operations for which a processor must wait for its device."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if name in ("_local_scalar_dense", "nonzero", "equal", "masked_select", "is_nonzero", "_unique2"):
            self.found.append(name)
        return func(*args, **(kwargs or {}))


class _Breaks(torch.nn.Module):
    """A forward hook that gives NaN while it is told to; its state survives a deep copy."""

    def __init__(self) -> None:
        super().__init__()
        self.breaks = False

    def __call__(self, network: torch.nn.Module, inputs: tuple, heads: Heads) -> Heads:
        return Heads(*(head * math.nan for head in heads)) if self.breaks else heads


class _Saved:
    """A tensor that a backward pass will need."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


def _stepper(network: DeeplySupervisedUNet) -> Stepper:
    return Stepper(network, LossWeights(dice=0.5), optimiser(network, 1e-2, 1e-2), CPU, seed=0)


def test_neither_a_batch_nor_a_step_waits_for_the_device() -> None:
    stepper = _stepper(DeeplySupervisedUNet(replace(NETWORK, classes=3, dropout=0.1)))
    mixed = [*TRAINING, square("tall", 80, 32), square("of another label", 32, 48, label=2)]
    batches = Batches(mixed, 2, seed=0, augment=True, balanced=True, crop=32)
    with _Reads() as reads:
        for step in range(12):
            late = stepper.learn(batches.batch(step), 1e-2, step)
        assert not reads.found
        assert late.read() > 0
        assert reads.found, "reading the loss is what waits"


def test_the_features_of_masks_are_gone_before_those_of_prompts_are_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    network = with_prompts(DeeplySupervisedUNet(NETWORK))
    saved: weakref.WeakSet[_Saved] = weakref.WeakSet()
    left: list[int] = []
    most = 0

    def pack(tensor: torch.Tensor) -> _Saved:
        nonlocal most
        saved.add(one := _Saved(tensor))
        most = max(most, len(saved))
        return one

    prompted = network.prompted

    def answer(image: torch.Tensor, maps: torch.Tensor) -> torch.Tensor:
        left.append(len(saved))
        return prompted(image, maps)

    monkeypatch.setattr(network, "prompted", answer)
    batch = Batches(TRAINING, 2, seed=0, augment=False, episodes=2).batch(0)
    stepper = _stepper(network)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda one: one.tensor):
        stepper.learn(batch, 1e-2, 0)
    assert most > 100
    assert set(left) == {0}


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_a_step_without_a_finite_loss_changes_nothing(norm: Norm) -> None:
    torch.manual_seed(0)
    hook = _Breaks()
    networks = [DeeplySupervisedUNet(NetworkSettings(classes=2, width=2, norm=norm))]
    networks.append(DeeplySupervisedUNet(networks[0].settings))
    networks[1].load_state_dict(networks[0].state_dict())
    networks[0].register_forward_hook(hook)
    stumbling, other = (_stepper(network) for network in networks)
    batches = Batches(TRAINING, 2, seed=0, augment=False)
    for step in range(3):
        hook.breaks = True
        assert math.isnan(stumbling.learn(batches.batch(9), 1e-2, step).read())
        hook.breaks = False
        losses = [one.learn(batches.batch(step), 1e-2, step).read() for one in (stumbling, other)]
        assert losses[0] == losses[1], "neither weights nor moments nor statistics were changed"
    assert same(*networks)


def test_a_gradient_that_is_not_finite_is_skipped_like_a_loss() -> None:
    network = DeeplySupervisedUNet(NETWORK)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    stepper = _stepper(network)
    network.final.weight.register_hook(lambda gradient: gradient * math.inf)
    assert math.isnan(stepper.learn(Batches(TRAINING, 2, seed=0, augment=False).batch(0), 1e-2, 0).read())
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Losses are read as late as on a GPU."""
    monkeypatch.setitem(devices.LAG, "cpu", 3)


def test_losses_that_are_read_late_change_neither_the_run_nor_its_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = replace(SETTINGS, steps=11, validate_every=4, checkpoint_every=5)
    at_once = run(settings)
    monkeypatch.setitem(devices.LAG, "cpu", 3)
    seen: list[Progress] = []
    later = run(settings, progress=seen.append)
    assert seen == later.history
    told = [[(one.step, one.loss, one.validation_dsc) for one in each.history] for each in (at_once, later)]
    assert told[0] == told[1]
    assert same(at_once.network, later.network)

    def cancelled(progress: Progress) -> None:
        if progress.step == 7:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(settings, checkpoints=tmp_path, progress=cancelled)
    resumed = run(settings, checkpoints=tmp_path)
    assert [one.loss for one in resumed.history] == [one.loss for one in at_once.history]
    assert same(resumed.network, at_once.network)


@pytest.mark.usefixtures("late")
def test_bad_steps_that_are_noticed_late_end_the_run() -> None:
    start = DeeplySupervisedUNet(NETWORK)
    with torch.no_grad():
        start.final.weight.fill_(math.nan)
    with pytest.raises(TrainingError, match=r"not finite 5 times in a row \(step 5\)"):
        run(replace(SETTINGS, steps=50, validate_every=50, checkpoint_every=50), start=start)


@pytest.mark.usefixtures("late")
def test_a_draft_comes_with_the_report_of_its_own_step() -> None:
    feed = Script({0: Examples(TRAINING, VALIDATION)}, lambda step, _: step >= 23)
    settings = replace(SETTINGS, steps=500, validate_every=100, checkpoint_every=100)
    result = train_continuously(feed, labels=LABELS, network=NETWORK, settings=settings, progress=feed.note)
    assert [step for step, _ in feed.drafts] == [10, 20]
    assert [one.step for one in result.history] == list(range(1, len(result.history) + 1))
    assert result.history[-1].validation_dsc is not None
