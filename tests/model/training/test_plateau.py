"""A training ends once it has converged, after a short cool-down, and goes on where a kill ended it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from model.training import plateau
from model.training.plateau import (
    BLOCK,
    DSC_GAIN,
    VALIDATIONS,
    cool_down_factor,
    cool_down_steps,
    has_converged,
)
from model.training.settings import Progress
from tests.model.squares import SETTINGS, run, same


def by_loss(losses: list[float]) -> list[Progress]:
    return [Progress(step, None, float(step), loss) for step, loss in enumerate(losses, start=1)]


def by_dsc(values: list[float]) -> list[Progress]:
    return [Progress(20 * number, None, 0.0, 0.5, dsc) for number, dsc in enumerate(values)]


def test_a_falling_loss_has_not_converged_and_a_level_one_has() -> None:
    falling = list(np.geomspace(1.0, 0.01, 6 * BLOCK))
    assert not has_converged(by_loss(falling))
    assert not has_converged(by_loss([*falling, *[0.01] * BLOCK]))
    assert has_converged(by_loss([*falling, *[0.01] * 3 * BLOCK]))


def test_noise_around_a_falling_loss_is_not_a_plateau() -> None:
    noise = np.random.default_rng(0).uniform(0.5, 1.5, 8 * BLOCK)
    losses = np.geomspace(1.0, 0.02, 8 * BLOCK) * noise
    assert not any(has_converged(by_loss(list(losses[:end]))) for end in range(1, len(losses)))


def test_steps_without_a_finite_loss_are_no_gain() -> None:
    assert has_converged(by_loss([0.5] * BLOCK + [float("nan")] * 2 * BLOCK))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=VALIDATIONS))
def test_a_few_validations_never_tell(values: list[float]) -> None:
    assert not has_converged(by_dsc(values))


def test_the_validation_dice_decides_where_there_is_one() -> None:
    rising = [0.5 + 2 * DSC_GAIN * number for number in range(VALIDATIONS + 4)]
    assert not has_converged(by_dsc(rising))
    assert has_converged(by_dsc([*rising, *[rising[-1]] * VALIDATIONS]))
    assert has_converged(by_dsc([0.9, *rising])), "it fell after the first and has not come back"


def test_the_learning_rate_falls_to_its_floor_within_the_cool_down() -> None:
    steps = cool_down_steps(400)
    factors = [cool_down_factor(step, 400) for step in range(400, 400 + steps + 1)]
    assert (steps, factors[0], factors[-1]) == (80, 1.0, pytest.approx(0.01))
    assert factors == sorted(factors, reverse=True)


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch, one_thread: None) -> None:
    """A plateau after a few steps, so that a test takes seconds."""
    for name, value in {"BLOCK": 3, "VALIDATIONS": 2, "MIN_COOL_DOWN": 4}.items():
        monkeypatch.setattr(plateau, name, value)


PATIENT = replace(SETTINGS, steps=200, until_plateau=True, validate_every=2, learning_rate=1e-6)
"""At this rate nothing is learned, so the plateau comes at once."""


@pytest.mark.usefixtures("impatient")
def test_a_training_ends_after_its_cool_down_long_before_its_budget() -> None:
    result = run(PATIENT)
    assert result.converged
    assert result.steps == 6 + 4, "three validations without a gain, then the cool-down"
    whole = run(replace(PATIENT, until_plateau=False, steps=12))
    assert (whole.converged, whole.steps) == (False, 12)


@pytest.mark.usefixtures("impatient")
def test_without_validation_the_loss_ends_it() -> None:
    result = run(PATIENT, validation=[])
    assert (result.converged, result.steps) == (True, 9 + 4)


@pytest.mark.slow
@pytest.mark.usefixtures("impatient")
def test_a_training_killed_in_its_cool_down_ends_with_the_same_weights(tmp_path: Path) -> None:
    settings = replace(PATIENT, checkpoint_every=1)
    whole = run(settings)

    def killed(progress: Progress) -> None:
        if progress.step == whole.steps - 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(settings, checkpoints=tmp_path, progress=killed)
    resumed = run(settings, checkpoints=tmp_path)
    assert resumed.steps == whole.steps
    assert same(resumed.network, whole.network)
