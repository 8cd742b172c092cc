"""Training learns, is reproducible and keeps the best weights."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model.imaging.preprocessing import PreprocessingSettings
from model.network import DeeplySupervisedUNet, Heads, NetworkSettings, Norm
from model.research.phantom import draw_phantom
from model.training.dataset import Example, make_example
from model.training.optimisation import Budget, optimiser, rate_factor
from model.training.run import Progress, TrainingError, TrainingSettings, train
from tests.model.squares import LABELS, NETWORK, SETTINGS, TRAINING, VALIDATION, run, same

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.slow
def test_it_learns_bones_from_a_few_phantoms_and_continues_learning() -> None:
    preprocessing = PreprocessingSettings(size=96)
    examples = []
    for index in range(16):
        phantom = draw_phantom(4 + index % 12, 50 + index, size=(128, 160))
        mask = (phantom.mask > 0).astype(np.uint8)
        examples.append(make_example(str(index), phantom.image, mask, preprocessing))
    settings = TrainingSettings(steps=30, validate_every=15, learning_rate=5e-3, device="cpu")
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
    one, two, other = run(), run(), run(replace(SETTINGS, seed=4))
    assert same(one.network, two.network)
    assert not same(one.network, other.network)
    assert torch.equal(before, torch.random.get_rng_state()), "the caller's random generator is not changed"


def test_dropout_is_drawn_by_seed_and_step_so_that_a_run_can_resume(tmp_path: Path) -> None:
    network = replace(NETWORK, dropout=0.5)
    before = torch.random.get_rng_state()
    whole = run(network=network)
    assert torch.equal(before, torch.random.get_rng_state())
    assert not same(whole.network, run().network)

    def killed(progress: Progress) -> None:
        if progress.step == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(network=network, checkpoints=tmp_path, progress=killed)
    assert same(run(network=network, checkpoints=tmp_path).network, whole.network)


@pytest.mark.parametrize("norm", ["batch", "instance", "group"])
def test_weights_of_convolutions_decay_and_those_of_norms_do_not(norm: Norm) -> None:
    network = DeeplySupervisedUNet(replace(NETWORK, norm=norm))
    decayed, free = optimiser(network, 1e-3, 0.1).param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)
    assert {id(parameter) for parameter in decayed["params"]} == {
        id(module.weight) for module in network.modules() if isinstance(module, torch.nn.Conv2d)
    }


def test_weights_of_another_norm_are_refused_as_start() -> None:
    start = DeeplySupervisedUNet(replace(NETWORK, norm="group"))
    with pytest.raises(TrainingError, match="norm='group'"):
        run(start=start)
    result = run(network=start.settings, start=start, validation=[])
    assert result.network.settings.norm == "group"
    assert not same(result.network, start)


def test_weights_without_dropout_are_fine_tuned_with_it() -> None:
    start = run().network
    result = run(network=replace(NETWORK, dropout=0.5), start=start)
    assert result.network.settings.dropout == 0.5
    assert start.settings.dropout == 0


def test_progress_is_reported_every_step_and_validation_when_due() -> None:
    seen: list[Progress] = []
    result = run(replace(SETTINGS, steps=7), progress=seen.append)
    assert [entry.step for entry in seen] == [1, 2, 3, 4, 5, 6, 7]
    assert [entry.step for entry in seen if entry.validation_dsc is not None] == [3, 6, 7]
    assert seen == result.history
    assert result.steps == 7
    assert result.metrics["validation_images"] == 2
    assert not result.network.training


@pytest.mark.slow
def test_the_best_weights_are_kept_and_the_start_is_a_candidate() -> None:
    good = run(replace(SETTINGS, steps=30, validate_every=10, learning_rate=1e-2)).network
    untouched = {name: tensor.clone() for name, tensor in good.state_dict().items()}
    ruined = run(replace(SETTINGS, learning_rate=3.0), start=good)
    assert ruined.metrics["kept_step"] == 0
    assert ruined.metrics["validation_dsc"] == ruined.metrics["start_validation_dsc"] > 0.5
    assert ruined.history[0].step == 0
    assert same(ruined.network, good)
    assert all(torch.equal(untouched[name], tensor) for name, tensor in good.state_dict().items())


def test_without_validation_the_last_weights_are_kept_and_reported_so() -> None:
    result = run(validation=[])
    assert result.metrics["validation_images"] == 0
    assert result.metrics["kept_step"] == 6
    assert "validation_dsc" not in result.metrics


def test_a_budget_in_seconds_ends_the_run() -> None:
    began = time.monotonic()
    result = run(replace(SETTINGS, steps=None, seconds=1.0))
    assert result.steps >= 1
    assert result.history[-1].validation_dsc is not None
    assert time.monotonic() - began < 20
    assert run(replace(SETTINGS, steps=2, seconds=1000.0)).steps == 2


@pytest.mark.slow
def test_mixed_precision_learns_too() -> None:
    result = run(replace(SETTINGS, steps=30, precision="bf16", learning_rate=1e-2))
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
def test_invalid_trainings_are_refused(changes: dict, sentence: str) -> None:
    with pytest.raises(TrainingError, match=sentence):
        run(**changes)


@pytest.mark.parametrize(
    "numbers",
    [{}, {"steps": 0}, {"seconds": -1.0}, {"steps": 5, "batch": 0}, {"steps": 5, "learning_rate": 0.0}],
)
def test_invalid_settings_are_refused(numbers: dict) -> None:
    with pytest.raises(TrainingError):
        TrainingSettings(**numbers)


class _Stumbles(torch.nn.Module):
    """A forward hook that gives NaN at chosen calls; its state survives the deep copy that `train` makes."""

    def __init__(self, calls: set[int]) -> None:
        super().__init__()
        self.calls, self.count = calls, 0

    def __call__(self, network: torch.nn.Module, inputs: tuple, heads: Heads) -> Heads:
        self.count += network.training
        return Heads(*(head * math.nan for head in heads)) if self.count in self.calls else heads


def test_one_bad_step_is_skipped() -> None:
    start = DeeplySupervisedUNet(NETWORK)
    start.register_forward_hook(_Stumbles({2, 3}))
    result = run(start=start, validation=[])
    assert [math.isnan(entry.loss) for entry in result.history] == [False, True, True, False, False, False]
    assert all(torch.isfinite(tensor).all() for tensor in result.network.state_dict().values())


def test_many_bad_steps_in_a_row_end_the_run() -> None:
    start = DeeplySupervisedUNet(NETWORK)
    with torch.no_grad():
        start.final.weight.fill_(math.nan)
    with pytest.raises(TrainingError, match="not finite 5 times"):
        run(start=start, validation=[])


def test_the_learning_rate_rises_then_falls_over_either_budget() -> None:
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
