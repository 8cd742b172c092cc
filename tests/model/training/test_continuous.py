"""Continuous training: labels join, the run rests and wakes, and what it hands out is averaged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model.network import DeeplySupervisedUNet
from model.training.averaging import Average
from model.training.batches import FIRST_STEPS, Batches
from model.training.continuous import Examples, Feed, train_continuously
from model.training.settings import (
    Progress,
    TrainingError,
    TrainingResult,
    TrainingSettings,
    TrainingStopped,
)
from tests.model.squares import LABELS, NETWORK, SETTINGS, TRAINING, VALIDATION, run, same, square

pytestmark = pytest.mark.usefixtures("one_thread")

LONG = replace(SETTINGS, steps=500)


class Script(Feed):
    """Gives examples at stated steps, and ends the training when told to."""

    def __init__(
        self,
        arrivals: dict[int, Examples],
        ends: Callable[[int, bool], bool],
        at_step: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.arrivals, self._ends, self._at_step = dict(arrivals), ends, at_step
        self.step, self.rests = 0, 0
        self.asked: list[int] = []
        self.since: list[int] = []
        self.start_dsc: list[float | None] = []
        self.drafts: list[tuple[int, DeeplySupervisedUNet]] = []

    def take(self) -> Examples | None:
        return self.arrivals.pop(self.step, None)

    def ends(self, steps: int, *, settled: bool) -> bool:
        self.asked.append(self.step)
        self.since.append(steps)
        self._at_step(self.step)
        return self._ends(self.step, settled)

    def rest(self) -> None:
        self.rests += 1

    def draft(self, network: DeeplySupervisedUNet, progress: Progress, start_dsc: float | None) -> None:
        self.start_dsc.append(start_dsc)
        copy = DeeplySupervisedUNet(network.settings)
        copy.load_state_dict(network.state_dict())
        self.drafts.append((progress.step, copy))

    def note(self, progress: Progress) -> None:
        self.step = progress.step


def follow(
    feed: Script,
    settings: TrainingSettings = LONG,
    start: DeeplySupervisedUNet | None = None,
    checkpoints: Path | None = None,
) -> TrainingResult:
    return train_continuously(
        feed,
        labels=LABELS,
        network=NETWORK,
        settings=settings,
        start=start,
        checkpoints=checkpoints,
        progress=feed.note,
    )


@pytest.mark.slow
def test_drafts_come_soon_after_each_label_and_then_ever_more_rarely() -> None:
    more = Examples([*TRAINING, square("new")], [], [square("new")])
    feed = Script({0: Examples(TRAINING, []), 23: more}, lambda step, _: step == 70)
    follow(feed)
    assert [step for step, _ in feed.drafts] == [10, 20, 33, 43, 63]


@pytest.mark.slow
def test_labels_that_keep_coming_do_not_put_drafts_off() -> None:
    arrivals = {step: Examples([*TRAINING, square(f"n{step}")], []) for step in range(4, 60, 4)}
    feed = Script({0: Examples(TRAINING, [])} | arrivals, lambda step, _: step == 60)
    follow(feed)
    assert len(feed.drafts) >= 5


def test_a_new_example_is_in_each_of_the_next_batches() -> None:
    new = [square("new"), square("newer")]
    batches = Batches([*TRAINING, *new], 2, seed=1, augment=False, first=new, since=40)
    for step in range(40, 40 + FIRST_STEPS):
        assert batches.examples(step)[0] is new[step % 2]
    plain = Batches([*TRAINING, *new], 2, seed=1, augment=False)
    assert [one.key for one in batches.examples(39)] == [one.key for one in plain.examples(39)]


def test_it_rests_when_its_budget_is_spent_and_the_next_label_wakes_it() -> None:
    feed = Script({0: Examples(TRAINING, [])}, lambda step, settled: settled and step >= 16)

    def arrive(step: int) -> None:
        if feed.rests == 3 and step == 8:
            feed.arrivals[8] = Examples([*TRAINING, square("new")], [])

    feed._at_step = arrive
    result = follow(feed, replace(SETTINGS, steps=8))
    assert result.steps == 16
    assert feed.rests == 4
    assert not result.converged


@pytest.mark.slow
def test_its_result_is_the_average_which_is_steadier_than_its_steps() -> None:
    feed = Script({0: Examples(TRAINING, [])}, lambda step, _: step == 40)
    result = follow(feed)
    assert same(result.network, feed.drafts[-1][1])
    assert result.metrics["kept_step"] == 40


def test_the_average_follows_a_young_training_and_stays_between_its_steps() -> None:
    network = DeeplySupervisedUNet(NETWORK)
    average = Average(network)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.fill_(1.0)
    average.update(network, 1)
    values = torch.cat([one.flatten() for one in average.network.parameters()])
    assert ((values - 1).abs() < 0.11).float().mean() > 0.9
    assert not average.network.training


@pytest.mark.slow
def test_the_best_average_is_kept_and_start_weights_count() -> None:
    start = run(replace(SETTINGS, steps=40)).network
    feed = Script({0: Examples(TRAINING, VALIDATION)}, lambda step, _: step == 12)
    result = follow(feed, replace(LONG, learning_rate=5.0), start)
    assert result.metrics["kept_step"] == 0
    assert same(result.network, start)


@pytest.mark.slow
@pytest.mark.parametrize(
    "more",
    [Examples(TRAINING, [*VALIDATION, square("x")]), Examples([*TRAINING, square("x")], VALIDATION)],
    ids=["validation", "training"],
)
def test_weights_that_have_not_seen_the_newest_label_are_not_kept(more: Examples) -> None:
    start = run(replace(SETTINGS, steps=40)).network
    feed = Script({0: Examples(TRAINING, VALIDATION), 6: more}, lambda step, _: step == 12)
    result = follow(feed, replace(LONG, learning_rate=5.0), start)
    assert result.metrics["kept_step"] > 6


def test_a_killed_training_continues_with_whatever_labels_there_are(tmp_path: Path) -> None:
    def kill(step: int) -> None:
        if step == 7:
            raise KeyboardInterrupt

    first = Script({0: Examples(TRAINING, [])}, lambda *_: False, kill)
    with pytest.raises(KeyboardInterrupt):
        follow(first, checkpoints=tmp_path)
    again = Script({0: Examples([*TRAINING, square("new")], [])}, lambda step, _: step == 10)
    result = follow(again, checkpoints=tmp_path)
    assert [one.step for one in result.history] == list(range(1, 11))
    assert again.asked[0] == 7, "it continues at its last checkpoint, after step 6"
    whole = Script(
        {0: Examples(TRAINING, []), 6: Examples([*TRAINING, square("new")], [])}, lambda s, _: s == 10
    )
    assert same(result.network, follow(whole).network)


def test_an_interrupted_training_loses_no_step(tmp_path: Path) -> None:
    def interrupt(step: int) -> None:
        if step == 7:
            raise TrainingStopped

    first = Script({0: Examples(TRAINING, [])}, lambda *_: False, interrupt)
    with pytest.raises(TrainingStopped):
        follow(first, checkpoints=tmp_path)
    again = Script({0: Examples(TRAINING, [])}, lambda step, _: step == 8)
    follow(again, checkpoints=tmp_path)
    assert again.since == [7, 8], "it continues where it was, and the plateau is not put off"


def test_a_label_that_contradicts_the_config_ends_the_run_with_a_sentence() -> None:
    wrong = square("wrong")
    wrong.mask[0, 0] = 2
    feed = Script({0: Examples(TRAINING, []), 3: Examples([*TRAINING, wrong], [])}, lambda *_: False)
    with pytest.raises(TrainingError, match="class index 2"):
        follow(feed)


@pytest.mark.slow
def test_the_start_is_measured_on_the_images_that_drafts_are_measured_on() -> None:
    start = run(replace(SETTINGS, steps=40)).network
    more = Examples(TRAINING, [*VALIDATION, square("x")])
    feed = Script({0: Examples(TRAINING, VALIDATION), 12: more}, lambda step, _: step == 22)
    result = follow(feed, start=start)
    assert feed.start_dsc[0] == pytest.approx(result.history[0].validation_dsc)
    assert feed.start_dsc[-1] is not None
    assert feed.start_dsc[-1] != feed.start_dsc[0]
