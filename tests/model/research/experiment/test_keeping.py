"""Which weights of a round are kept: the best with the start, the best without it, or the last."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest

from model.network import DeeplySupervisedUNet
from model.research.experiment.keeping import Kept, train_and_keep
from model.training.dataset import Example
from tests.model.squares import LABELS, NETWORK, SETTINGS, TRAINING, VALIDATION, run, same

pytestmark = pytest.mark.usefixtures("one_thread")
SPOILING = 5.0
"""A learning rate that makes any weights worse."""


@pytest.fixture(scope="module")
def start() -> DeeplySupervisedUNet:
    return run(replace(SETTINGS, steps=40, validate_every=40)).network


def kept(
    start: DeeplySupervisedUNet | None,
    *,
    validation: Sequence[Example] = VALIDATION,
    learning_rate: float = SETTINGS.learning_rate,
    keep_start: bool,
) -> Kept:
    settings = replace(SETTINGS, learning_rate=learning_rate)
    return train_and_keep(
        TRAINING,
        validation,
        labels=LABELS,
        network=NETWORK,
        settings=settings,
        start=start,
        keep_start=keep_start,
    )


def test_a_start_that_is_best_is_kept_only_if_that_is_allowed(start: DeeplySupervisedUNet) -> None:
    with_start = kept(start, learning_rate=SPOILING, keep_start=True)
    assert with_start.step == 0
    assert same(with_start.network, start)
    without = kept(start, learning_rate=SPOILING, keep_start=False)
    assert without.step in (3, 6)
    assert not same(without.network, start)


@pytest.mark.slow
def test_without_the_start_the_best_of_the_validated_steps_is_kept() -> None:
    # Fresh weights do not count as a start, so both ways choose among the same steps.
    for seed in range(3):
        settings = replace(SETTINGS, seed=seed, validate_every=2)
        with_start, without = (
            train_and_keep(
                TRAINING,
                VALIDATION,
                labels=LABELS,
                network=NETWORK,
                settings=settings,
                start=None,
                keep_start=keep_start,
            )
            for keep_start in (True, False)
        )
        assert with_start.step == without.step
        assert same(with_start.network, without.network)


def test_without_validation_images_the_last_weights_are_kept(start: DeeplySupervisedUNet) -> None:
    for keep_start in (True, False):
        last = kept(start, validation=[], learning_rate=SPOILING, keep_start=keep_start)
        assert last.step == SETTINGS.steps
        assert not same(last.network, start)
