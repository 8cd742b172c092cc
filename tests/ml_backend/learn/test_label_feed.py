"""When a round ends, makes way, and leaves labels to the next run."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from redis.exceptions import RedisError

from ml_backend.label_studio.config import default_config, parse
from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.learn.examples import Data
from ml_backend.learn.label_feed import (
    LAST_STEPS,
    LONGEST_STEPS,
    MOST_RETRIES,
    ROUND_STEPS,
    LabelFeed,
    StoppedError,
)
from ml_backend.queue.context import Context
from ml_backend.store import drafts, events, projects, runs, versions
from ml_backend.store.labels_seen import LabelDigest
from ml_backend.store.liveness import ProcessId
from ml_backend.store.models import Event, TrainingRun, VersionState, now
from ml_backend.web.app import Services
from model.network import DeeplySupervisedUNet, NetworkSettings
from model.training.dataset import Example
from model.training.settings import Progress

CONFIG = parse(default_config(["Bone"]))
OTHER = parse(default_config(["Bone", "Nail"]))


def example(task: int, suffix: str = "a") -> Example:
    blank = np.zeros((16, 16), np.uint8)
    return Example(f"task {task} {suffix}", blank, blank)


def data(*tasks: int) -> Data:
    seen = {task: LabelDigest(task, "") for task in tasks}
    return Data(training=[example(task) for task in tasks], used=len(tasks), seen=seen)


@dataclass
class Case:
    """A feed on a real database and queue; Label Studio's part is played by the attributes.

    Attributes:
        config: the labeling config as it is now.
        now: what reading all labels gives, or the error it raises.
        stored: how often weights were stored; None if the store fails.
    """

    services: Services
    folder: Path
    config: Any = CONFIG
    now: Data | Exception = field(default_factory=lambda: data(1, 2))
    stored: int | None = 0
    run: int = 0

    def feed(self, *, is_fresh_network: bool = False, further: list[Example] | None = None) -> LabelFeed:
        with self.services.database.write() as session:
            projects.ensure(session, 3, seed=0)
            events.add(session, 3, "ANNOTATION_CREATED", changes=["annotation:1", "annotation:2"])
            run = runs.begin(session, 3, ProcessId.current())
            assert run is not None
            self.run = run.id
        context: Any = SimpleNamespace(
            settings=self.services.settings,
            database=self.services.database,
            queues=self.services.queues,
            weights=SimpleNamespace(put=self._put, delete=lambda _: None),
            read_config=lambda _: self.config,
            is_active=self._is_active,
        )
        context.is_scored_now = partial(Context.is_scored_now, context)
        feed = LabelFeed(
            context,
            3,
            self.run,
            ProcessId.current(),
            SimpleNamespace(check=lambda: None),  # type: ignore[arg-type]
            CONFIG,
            read=self._read,
            write=lambda directory, *_: directory.mkdir(parents=True),
            data=data(1, 2),
            further=further or [],
            is_fresh_network=is_fresh_network,
            folder=self.folder,
        )
        assert feed.take() is not None
        return feed

    def annotate(self, *numbers: int) -> None:
        with self.services.database.write() as session:
            for number in numbers:
                events.add(session, 3, "ANNOTATION_CREATED", changes=[f"annotation:{number}"])

    def pending(self) -> int:
        with self.services.database.read() as session:
            return events.pending(session, 3).changes

    def grow_quiet(self) -> None:
        with self.services.database.write() as session:
            for event in session.query(Event):
                event.created_at = now() - timedelta(hours=1)

    def message(self) -> str:
        with self.services.database.read() as session:
            return session.get_one(TrainingRun, self.run).message

    def other_project_trains(self) -> None:
        with self.services.database.write() as session:
            projects.ensure(session, 4, seed=0)
        self.services.queues.request_training(4)

    def _is_active(self, project: int) -> bool:
        with self.services.database.read() as session:
            return projects.is_active(session, project)

    def _read(self) -> Data:
        if isinstance(self.now, Exception):
            raise self.now
        return self.now

    def _put(self, _directory: Path) -> str:
        if self.stored is None:
            raise OSError("The disk is full.")
        self.stored += 1
        return f"{self.stored:064x}"


@pytest.fixture
def case(services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Case:
    # Otherwise each look would have to wait a second.
    monkeypatch.setattr("ml_backend.learn.label_feed.LOOK_SECONDS", 0.0)
    return Case(services, tmp_path / "run")


def steps(feed: LabelFeed, count: int, *, since: int = 100) -> bool:
    """Take so many steps; whether the round ended at the last, and not before."""
    ended = [feed.ends(since, settled=False) for _ in range(count)]
    assert not any(ended[:-1])
    return ended[-1]


def test_new_labels_join_and_are_learned_first(case: Case) -> None:
    feed = case.feed()
    assert feed.take() is None
    case.annotate(3)
    case.now = data(1, 2, 3)
    found = feed.take()
    assert found is not None
    assert [one.key for one in found.training] == ["task 1 a", "task 2 a", "task 3 a"]
    assert [one.key for one in found.fresh] == ["task 3 a"]
    assert case.pending() == 0


def test_an_event_that_changes_no_mask_changes_nothing(case: Case) -> None:
    feed = case.feed()
    case.annotate(3)
    assert feed.take() is None
    assert case.pending() == 0


def test_a_quiet_time_ends_the_round_once_it_is_learned(case: Case) -> None:
    feed = case.feed()
    assert not feed.ends(100, settled=True)
    case.grow_quiet()
    feed._read_round()
    assert not feed.ends(100, settled=False)
    assert feed.ends(100, settled=True)


def full(case: Case, feed: LabelFeed) -> None:
    case.annotate(*range(3, 11))
    case.now = data(*range(1, 11))
    assert feed.take() is not None


def test_a_full_round_ends_before_the_plateau(case: Case) -> None:
    feed = case.feed()
    full(case, feed)
    assert steps(feed, ROUND_STEPS)


def test_a_full_round_waits_for_its_newest_label_but_not_for_ever(case: Case) -> None:
    feed = case.feed()
    full(case, feed)
    assert not steps(feed, ROUND_STEPS, since=LAST_STEPS - 1)
    assert steps(feed, LONGEST_STEPS - ROUND_STEPS, since=LAST_STEPS - 1)


def test_a_network_from_scratch_learns_to_its_plateau(case: Case) -> None:
    feed = case.feed(is_fresh_network=True)
    full(case, feed)
    assert not steps(feed, LONGEST_STEPS + 1)
    assert feed.ends(200, settled=True)


def test_a_version_that_is_being_scored_is_not_overtaken(case: Case) -> None:
    feed = case.feed()
    full(case, feed)
    with case.services.database.write() as session:
        project = projects.ensure(session, 3, seed=0)
        version = versions.create(session, project, round=1, state=VersionState.SCORING)
    case.services.queues.request_score_version(version.id)
    assert not steps(feed, ROUND_STEPS + 5)
    case.services.queues.redis.flushall()
    assert feed.ends(100, settled=False)


def test_it_makes_way_for_another_project_after_its_turn(case: Case) -> None:
    feed = case.feed()
    case.other_project_trains()
    assert not feed.ends(1, settled=False)
    feed._began = time.monotonic() - case.services.settings.turn_seconds
    with pytest.raises(StoppedError) as stopped:
        feed.ends(1, settled=False)
    assert stopped.value.delay == 1
    with pytest.raises(StoppedError) as resting:
        feed.ends(1, settled=True)
    quiet = case.services.settings.quiet_seconds
    assert resting.value.delay == pytest.approx(quiet, abs=10)


def test_a_round_that_is_due_is_finished_first(case: Case) -> None:
    feed = case.feed(is_fresh_network=True)
    full(case, feed)
    case.other_project_trains()
    feed._began = time.monotonic() - 10 * case.services.settings.turn_seconds
    assert not steps(feed, 50)
    assert feed.ends(100, settled=True)


def test_labels_of_another_config_are_left_to_the_next_run(case: Case) -> None:
    feed = case.feed()
    case.annotate(3)
    case.config = OTHER
    case.now = data(1, 2, 3)
    assert feed.take() is None
    assert case.pending() == 1
    assert feed.ends(5, settled=False)


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (LabelStudioError("It is down."), True),
        (LabelStudioError("Who are you?", status=401), True),
        (LabelStudioError("What?", status=400), False),
    ],
    ids=["away", "token refused", "permanent"],
)
def test_labels_that_cannot_be_read_are_read_again_for_a_while(
    case: Case, monkeypatch: pytest.MonkeyPatch, error: LabelStudioError, *, passes: bool
) -> None:
    monkeypatch.setattr("ml_backend.learn.label_feed.RETRY_SECONDS", 0.0)
    feed = case.feed()
    case.annotate(3)
    case.now = error
    if not passes:
        with pytest.raises(LabelStudioError):
            feed.take()
        return
    assert feed.take() is None
    assert f"tried again: {error}" in case.message()
    case.grow_quiet()
    feed._read_round()
    assert not feed.ends(100, settled=True), "the label is not learned yet"
    case.now = data(1, 2, 3)
    assert feed.take() is not None
    case.annotate(4)
    case.now = error
    for _ in range(MOST_RETRIES):
        assert feed.take() is None
    with pytest.raises(LabelStudioError):
        feed.take()


def test_an_archived_project_is_not_trained_further(case: Case) -> None:
    feed = case.feed()
    with case.services.database.write() as session:
        projects.archive(session, projects.ensure(session, 3, seed=0), by_hand=True)
    with pytest.raises(StoppedError) as stopped:
        feed.ends(1, settled=False)
    assert stopped.value.delay is None


def test_pseudo_labels_of_labelled_tasks_are_left_out(case: Case) -> None:
    feed = case.feed(further=[example(3, "pseudo-label"), example(4, "pseudo-label")])
    case.annotate(3)
    case.now = data(1, 2, 3)
    found = feed.take()
    assert found is not None
    assert [one.key for one in found.training][3:] == ["task 4 pseudo-label"]


def test_a_draft_is_stored_unless_the_start_was_better(case: Case) -> None:
    feed = case.feed()
    network = DeeplySupervisedUNet(NetworkSettings(classes=2, width=4))

    def step(number: int, dsc: float | None, start: float | None) -> int | None:
        feed.draft(network, Progress(number, None, 1.0, 0.1, dsc), start)
        with case.services.database.read() as session:
            draft = drafts.current(session, 3)
            return None if draft is None else draft.step

    assert step(10, None, None) == 10
    assert step(20, 0.90, 0.95) == 10
    assert step(40, 0.94, 0.95) == 40
    case.stored = None
    assert step(80, 0.96, 0.95) == 40, "a store that fails does not end the training"


def test_a_redis_that_is_away_does_not_end_the_training(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    feed = case.feed()
    full(case, feed)

    def fail(*_: object) -> bool:
        raise RedisError("gone")

    monkeypatch.setattr(type(case.services.queues), "is_scored_now", fail)
    with case.services.database.write() as session:
        project = projects.ensure(session, 3, seed=0)
        versions.create(session, project, round=1, state=VersionState.SCORING)
    assert not feed.ends(100, settled=True)
