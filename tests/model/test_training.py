"""Training learns, keeps its promises, and survives being killed."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.batching import Batches, collate
from model.checkpoint import FILE
from model.dataset import Example, make_example
from model.network import DeeplySupervisedUNet, Heads, NetworkSettings, Norm
from model.optimisation import Budget, optimiser, rate_factor
from model.phantom import draw_phantom
from model.preprocessing import PreprocessingSettings
from model.training import Progress, TrainingError, TrainingResult, TrainingSettings, train

LABELS = ("bone",)
NETWORK = NetworkSettings(classes=2, width=4)
SETTINGS = TrainingSettings(
    steps=6, validate_every=3, checkpoint_every=2, precision="fp32", device="cpu", seed=3
)


def _square(key: str, height: int = 48, width: int = 32) -> Example:
    """A bright rectangle on dark ground, its place decided by the key."""
    rng = np.random.default_rng(sum(key.encode()))
    mask = np.zeros((height, width), np.uint8)
    top, left = rng.integers(4, height // 2), rng.integers(4, width // 2)
    mask[top : top + height // 3, left : left + width // 3] = 1
    image = np.where(mask > 0, 200, 40) + rng.integers(-20, 20, mask.shape)
    return Example(key, image.astype(np.uint8), mask)


TRAINING = [_square(key) for key in "abcde"]
VALIDATION = [_square(key) for key in "yz"]


def _train(settings: TrainingSettings = SETTINGS, **changes: object) -> TrainingResult:
    arguments: dict = {"labels": LABELS, "network": NETWORK, "settings": settings, **changes}
    return train(arguments.pop("training", TRAINING), arguments.pop("validation", VALIDATION), **arguments)


def _same(one: DeeplySupervisedUNet, other: DeeplySupervisedUNet) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(mine, theirs) for mine, theirs in pairs)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_it_learns_bones_from_a_few_phantoms_and_goes_on_learning() -> None:
    preprocessing = PreprocessingSettings(size=128)
    examples = []
    for index in range(16):
        phantom = draw_phantom(4 + index % 12, 50 + index, size=(240, 300))
        mask = (phantom.mask > 0).astype(np.uint8)
        examples.append(make_example(str(index), phantom.image, mask, preprocessing))
    settings = TrainingSettings(steps=50, validate_every=25, device="cpu")
    network = NetworkSettings(classes=2, width=8)
    first = train(examples[:6], examples[12:], labels=LABELS, network=network, settings=settings)
    assert first.metrics["validation_dsc"] > 0.7
    second = train(
        examples[:12], examples[12:], labels=LABELS, network=network, settings=settings, start=first.network
    )
    assert second.metrics["start_validation_dsc"] == pytest.approx(first.metrics["validation_dsc"], abs=0.01)
    assert second.metrics["validation_dsc"] > first.metrics["validation_dsc"]


def test_the_same_seed_gives_the_same_weights_and_another_does_not() -> None:
    before = torch.random.get_rng_state()
    one, two, other = _train(), _train(), _train(replace(SETTINGS, seed=4))
    assert _same(one.network, two.network)
    assert not _same(one.network, other.network)
    assert torch.equal(before, torch.random.get_rng_state()), "the caller's random numbers are its own"


def test_dropout_is_drawn_by_seed_and_step_so_that_a_run_can_resume(tmp_path: Path) -> None:
    network = replace(NETWORK, dropout=0.5)
    before = torch.random.get_rng_state()
    whole = _train(network=network)
    assert torch.equal(before, torch.random.get_rng_state())
    assert not _same(whole.network, _train().network)

    def killed(progress: Progress) -> None:
        if progress.step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _train(network=network, checkpoints=tmp_path, progress=killed)
    assert _same(_train(network=network, checkpoints=tmp_path).network, whole.network)


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
def test_weights_of_convolutions_decay_and_those_of_norms_do_not(norm: Norm) -> None:
    network = DeeplySupervisedUNet(replace(NETWORK, norm=norm))
    decayed, free = optimiser(network, 1e-3, 0.1).param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)
    assert {id(parameter) for parameter in decayed["params"]} == {
        id(module.weight) for module in network.modules() if isinstance(module, torch.nn.Conv2d)
    }


def test_weights_of_another_norm_are_no_start() -> None:
    start = DeeplySupervisedUNet(replace(NETWORK, norm="group"))
    with pytest.raises(TrainingError, match="norm='group'"):
        _train(start=start)
    result = _train(network=start.settings, start=start, validation=[])
    assert result.network.settings.norm == "group"
    assert not _same(result.network, start)


def test_weights_without_dropout_are_fine_tuned_with_it() -> None:
    start = _train().network
    result = _train(network=replace(NETWORK, dropout=0.5), start=start)
    assert result.network.settings.dropout == 0.5
    assert start.settings.dropout == 0


def test_progress_is_told_every_step_and_validation_when_due() -> None:
    seen: list[Progress] = []
    result = _train(replace(SETTINGS, steps=7), progress=seen.append)
    assert [entry.step for entry in seen] == [1, 2, 3, 4, 5, 6, 7]
    assert [entry.step for entry in seen if entry.validation_dsc is not None] == [3, 6, 7]
    assert seen == result.history
    assert result.steps == 7
    assert result.metrics["validation_images"] == 2
    assert not result.network.training


def test_the_best_weights_are_kept_and_the_start_is_a_candidate() -> None:
    good = _train(replace(SETTINGS, steps=80, validate_every=20, learning_rate=1e-2)).network
    untouched = {name: tensor.clone() for name, tensor in good.state_dict().items()}
    ruined = _train(replace(SETTINGS, learning_rate=3.0), start=good)
    assert ruined.metrics["kept_step"] == 0
    assert ruined.metrics["validation_dsc"] == ruined.metrics["start_validation_dsc"] > 0.5
    assert ruined.history[0].step == 0
    assert _same(ruined.network, good)
    assert all(torch.equal(untouched[name], tensor) for name, tensor in good.state_dict().items())


def test_without_validation_the_last_weights_are_kept_and_it_is_said() -> None:
    result = _train(validation=[])
    assert result.metrics["validation_images"] == 0
    assert result.metrics["kept_step"] == 6
    assert "validation_dsc" not in result.metrics


def test_a_budget_in_seconds_ends_the_run() -> None:
    began = time.monotonic()
    result = _train(replace(SETTINGS, steps=None, seconds=1.0))
    assert result.steps >= 1
    assert result.history[-1].validation_dsc is not None
    assert time.monotonic() - began < 20
    assert _train(replace(SETTINGS, steps=2, seconds=1000.0)).steps == 2


def test_mixed_precision_learns_too() -> None:
    result = _train(replace(SETTINGS, steps=40, precision="bf16", learning_rate=1e-2))
    assert result.metrics["validation_dsc"] > 0.5
    assert all(tensor.dtype != torch.bfloat16 for tensor in result.network.state_dict().values())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"training": []}, "nothing to train on"),
        ({"validation": [VALIDATION[0], TRAINING[0]]}, "both training and validation"),
        ({"labels": ("femur", "tibia")}, "classes"),
        ({"start": DeeplySupervisedUNet(NetworkSettings(classes=2, width=2))}, "start weights"),
        ({"training": [Example("a", np.zeros((16, 16), np.uint8), np.full((16, 16), 2, np.uint8))]}, "label"),
    ],
)
def test_what_cannot_be_trained_is_refused(changes: dict, sentence: str) -> None:
    with pytest.raises(TrainingError, match=sentence):
        _train(**changes)


@pytest.mark.parametrize(
    "numbers",
    [{}, {"steps": 0}, {"seconds": -1.0}, {"steps": 5, "batch": 0}, {"steps": 5, "learning_rate": 0.0}],
)
def test_senseless_settings_are_refused(numbers: dict) -> None:
    with pytest.raises(TrainingError):
        TrainingSettings(**numbers)


class _Stumbles(torch.nn.Module):
    """A forward hook's memory that survives the deep copy `train` makes: NaN at chosen calls."""

    def __init__(self, calls: set[int]) -> None:
        super().__init__()
        self.calls, self.count = calls, 0

    def __call__(self, network: torch.nn.Module, inputs: tuple, heads: Heads) -> Heads:
        self.count += network.training
        return Heads(*(head * math.nan for head in heads)) if self.count in self.calls else heads


def test_one_bad_step_is_skipped() -> None:
    start = DeeplySupervisedUNet(NETWORK)
    start.register_forward_hook(_Stumbles({2, 3}))
    result = _train(start=start, validation=[])
    assert [math.isnan(entry.loss) for entry in result.history] == [False, True, True, False, False, False]
    assert all(torch.isfinite(tensor).all() for tensor in result.network.state_dict().values())


def test_many_bad_steps_in_a_row_end_the_run() -> None:
    start = DeeplySupervisedUNet(NETWORK)
    with torch.no_grad():
        start.final.weight.fill_(math.nan)
    with pytest.raises(TrainingError, match="not finite 5 times"):
        _train(start=start, validation=[])


class _CancelledError(Exception):
    pass


def _cancel_at(step: int) -> Callable[[Progress], None]:
    def progress(entry: Progress) -> None:
        if entry.step == step:
            raise _CancelledError

    return progress


def test_a_cancelled_run_resumes_where_it_was(tmp_path: Path) -> None:
    whole = _train()
    with pytest.raises(_CancelledError):
        _train(checkpoints=tmp_path, progress=_cancel_at(4))
    later: list[int] = []
    resumed = _train(checkpoints=tmp_path, progress=lambda entry: later.append(entry.step))
    assert later == [5, 6]
    assert _same(resumed.network, whole.network)
    assert [entry.loss for entry in resumed.history] == [entry.loss for entry in whole.history]
    again: list[Progress] = []
    assert _same(_train(checkpoints=tmp_path, progress=again.append).network, whole.network)
    assert not again, "a finished run has nothing left to do"


@pytest.mark.parametrize(
    "changes",
    [
        {"settings": replace(SETTINGS, seed=9)},
        {"training": TRAINING[:4]},
        {"validation": VALIDATION[:1]},
        {"labels": ("tibia",)},
        {"training": [Example(e.key, e.image, 1 - e.mask) for e in TRAINING]},
        {"start": DeeplySupervisedUNet(NETWORK)},
    ],
)
def test_a_checkpoint_of_another_run_is_not_resumed(tmp_path: Path, changes: dict) -> None:
    with pytest.raises(_CancelledError):
        _train(checkpoints=tmp_path, progress=_cancel_at(4))
    steps: list[int] = []
    _train(**changes, checkpoints=tmp_path, progress=lambda entry: steps.append(entry.step))
    assert steps[0] in (0, 1)
    assert steps[-1] == 6


VICTIM = """
import sys
from pathlib import Path
import torch
from tests.model.test_training import LABELS, NETWORK, SETTINGS, TRAINING, VALIDATION
from dataclasses import replace
from model.training import train

torch.set_num_threads(1)
settings = replace(SETTINGS, steps=24, checkpoint_every=4)
train(TRAINING, VALIDATION, labels=LABELS, network=NETWORK, settings=settings,
      checkpoints=Path(sys.argv[1]), progress=lambda entry: print(entry.step, flush=True))
"""


def test_a_killed_run_ends_as_if_it_had_not_been(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    victim = subprocess.Popen(
        [sys.executable, "-c", VICTIM, str(tmp_path)],
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert victim.stdout is not None
    for line in victim.stdout:
        if int(line) >= 7:
            break
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    assert victim.returncode == -signal.SIGKILL
    settings = replace(SETTINGS, steps=24, checkpoint_every=4)
    steps: list[int] = []
    resumed = _train(settings, checkpoints=tmp_path, progress=lambda entry: steps.append(entry.step))
    assert steps[0] >= 5, "the steps before the kill are not done twice"
    whole = _train(settings)
    assert resumed.steps == whole.steps == 24
    assert _same(resumed.network, whole.network)
    assert [path.name for path in tmp_path.glob("*.safetensors")] == [FILE]


def test_batches_go_through_every_example_once_an_epoch() -> None:
    batches = Batches(TRAINING, 2, seed=1, augment=False)
    drawn = [example.key for step in range(10) for example in batches.examples(step)]
    epochs = [drawn[start : start + 5] for start in range(0, 20, 5)]
    assert all(sorted(epoch) == sorted(example.key for example in TRAINING) for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_a_stream_gives_what_each_step_asks_for_alone() -> None:
    batches = Batches(TRAINING, 2, seed=1, augment=True)
    stream = batches.stream(3)
    streamed = [next(stream) for _ in range(3)]
    stream.close()
    for step, batch in enumerate(streamed, start=3):
        alone = Batches(TRAINING, 2, seed=1, augment=True).batch(step)
        assert torch.equal(batch.images, alone.images)
        assert torch.equal(batch.targets, alone.targets)


def test_unequal_canvases_are_padded_with_pixels_that_do_not_count() -> None:
    small, wide = np.full((16, 32), 255, np.uint8), np.full((48, 16), 51, np.uint8)
    images, targets, _ = collate([(small, small // 255), (wide, wide // 51)])
    assert images.shape == (2, 1, 48, 32)
    assert images[0, 0, :16].eq(1).all()
    assert images[0, 0, 16:].eq(0).all()
    assert targets[0, :16].eq(1).all()
    assert targets[0, 16:].eq(255).all()
    assert targets[1, :, 16:].eq(255).all()
    mixed = [_square("a"), _square("b", 32, 64), _square("c", 96, 48)]
    assert _train(training=mixed).steps == 6


def test_the_learning_rate_climbs_then_falls_over_either_budget() -> None:
    rates = [rate_factor(Budget(100, None).spent(step, 0.0)) for step in range(101)]
    top = rates.index(max(rates))
    assert top == 10
    assert max(rates) == pytest.approx(1.0)
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[0] < 0.2
    assert rates[-1] == pytest.approx(0.01)
    assert Budget(100, 10.0).spent(20, 5.0) == 0.5
    assert Budget(None, 10.0).spent(999, 20.0) == 1.0
