"""Clocks set forward or back by hours: nothing waits for hours, and nobody takes over what lives."""

from __future__ import annotations

import math
import os
import shutil
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from rq.registry import ScheduledJobRegistry

from ml_backend.assign.distribution import COOLDOWN, Snapshot
from ml_backend.demo.label_studio import LabelStudioServer
from ml_backend.label_studio.images.cache import CacheBound
from ml_backend.label_studio.survey import Extent
from ml_backend.learn.trigger import consider
from ml_backend.queue import recovery
from ml_backend.queue.kinds import RECONCILE, TRAINING
from ml_backend.store import events, projects, runs, scores, versions
from ml_backend.store.clock import TOLERANCE, clock, seconds_since, seconds_until
from ml_backend.store.database import Database
from ml_backend.store.liveness import ProcessId
from ml_backend.store.models import Assignment, Event, Score, TrainingRun, VersionState, now
from ml_backend.web.app import Services
from model.research.phantom import Phantom
from tests.faults.conftest import only_long
from tests.faults.promises import Record, Stopwatch, check, learned, watched
from tests.loop.board import Board
from tests.loop.service import Service

HOURS = timedelta(hours=3)
"""By how much the clock was set back since something was noted, so that this lies ahead now."""


def test_a_moment_far_ahead_is_long_ago_and_one_slightly_ahead_is_now() -> None:
    assert seconds_since(now() + HOURS) == math.inf
    assert seconds_since(now() + TOLERANCE / 2) == 0
    assert seconds_since(now() - timedelta(seconds=30)) == pytest.approx(30, abs=1)
    assert seconds_until(now() + HOURS, timedelta(seconds=10)) == 10
    assert seconds_until(now() - HOURS, timedelta(seconds=10)) == 0


def test_labels_noted_before_the_clock_was_set_back_are_learned_at_once(services: Services) -> None:
    with services.database.write() as session:
        projects.ensure(session, 3, seed=0)
        noted = events.add(session, 3, "ANNOTATION_CREATED", changes=["annotation:1"])
        session.flush()
        session.get_one(Event, noted.id).created_at = now() + HOURS
    assert consider(services.database, services.queues, services.settings, 3)
    (queue,) = [each for each in services.queues.all() if each.name == TRAINING.queue]
    registry = ScheduledJobRegistry(queue=queue)
    assert registry.get_scheduled_time("train-3") <= now() + timedelta(seconds=2)


def test_scheduled_jobs_wait_no_longer_than_they_ever_should(services: Services) -> None:
    queues = services.queues
    delays = {TRAINING.name: 120.0, RECONCILE.name: 300.0}
    queues.request_training(3, delay=100)
    queues.request_reconcile(delay=250)
    assert recovery.shorten_waits(queues, delays) == 0
    for queue in queues.all():
        for name in ScheduledJobRegistry(queue=queue).get_job_ids(cleanup=False):
            queues.redis.zincrby(ScheduledJobRegistry(queue=queue).key, HOURS.total_seconds(), name)
    assert recovery.shorten_waits(queues, delays) == 2
    for queue in queues.all():
        for name in ScheduledJobRegistry(queue=queue).get_job_ids(cleanup=False):
            left = ScheduledJobRegistry(queue=queue).get_scheduled_time(name) - now()
            assert left <= timedelta(seconds=2 + (delays[TRAINING.name] if "train" in name else 300))
    assert recovery.shorten_waits(queues, delays) == 0


@pytest.mark.parametrize("hours", [HOURS, -HOURS])
def test_a_run_of_another_machine_is_alive_by_the_clock_of_the_database(
    database: Database, hours: timedelta
) -> None:
    here = ProcessId.current()
    there = replace(here, host="elsewhere")
    with database.write() as session:
        projects.ensure(session, 3, seed=0)
        run = runs.begin(session, 3, there, force=True)
        assert run is not None
        assert abs(clock(session) - run.heartbeat_at) < timedelta(seconds=5)
        number = run.id
    with database.read() as session:
        assert runs.abandoned(session) == []
    with database.write() as session:
        session.get_one(TrainingRun, number).heartbeat_at = clock(session) + hours
    with database.write() as session:
        # Nobody has sent a heartbeat since the clock was set.
        assert [one.id for one in runs.abandoned(session)] == [number]
        runs.keep(session, number, there)
    with database.read() as session:
        assert runs.abandoned(session) == []


def test_an_image_is_tried_again_though_its_time_lies_hours_ahead(database: Database) -> None:
    with database.write() as session:
        project = projects.ensure(session, 3, seed=0)
        version = versions.create(session, project, round=0, state=VersionState.SCORING)
        scores.plan(session, version.id, [1, 2, 3], chunk_size=4)
        ahead = {1: timedelta(minutes=4), 2: HOURS, 3: -HOURS}
        for task, wait in ahead.items():
            row = session.get_one(Score, (version.id, task))
            row.tries, row.retry_at = 2, now() + wait
    with database.read() as session:
        assert {one.task_id for one in scores.to_retry(session, version.id, now())} == {2, 3}


def test_a_task_that_was_taken_back_cools_down_for_seconds() -> None:
    known = {
        task: Assignment(project_id=3, task_id=task, email=None, since=now() + ahead)
        for task, ahead in {1: HOURS, 2: -HOURS, 3: timedelta(0), 4: COOLDOWN / 2}.items()
    }
    snapshot = Snapshot(now(), 3, 1, {}, {}, {}, set(), [], known)
    assert snapshot.cooling_down == {3, 4}


@pytest.mark.parametrize(
    ("then", "hidden"),
    [
        (Extent(9, 4, "2026-11-27T12:00:00Z"), True),
        (Extent(9, 3, "2026-11-27T09:00:00Z"), True),
        (Extent(9, 4, "2026-11-27T12:00:01Z"), False),
        (Extent(8, 3, "2026-11-27T12:00:00Z"), False),
        (Extent(8, 3, "2026-11-27T11:00:00Z"), False),
    ],
    ids=["a new label", "a changed label", "a new label, later", "a task less", "the latest task less"],
)
def test_labels_made_after_label_studio_s_clock_was_set_back_are_noticed(then: Extent, hidden: bool) -> None:
    assert then.hides_changes(Extent(9, 3, "2026-11-27T12:00:00Z")) is hidden


def test_the_cache_is_bounded_though_its_last_check_lies_ahead(tmp_path: Path) -> None:
    folder = tmp_path / "3" / "ab"
    folder.mkdir(parents=True)
    for number in range(4):
        (folder / f"{number}").write_bytes(b"x" * 1000)
    stamp = tmp_path / "checked"
    stamp.touch()
    os.utime(stamp, (time.time() + HOURS.total_seconds(),) * 2)
    CacheBound(tmp_path, 2000).account(1)
    assert sum(path.stat().st_size for path in folder.iterdir()) <= 2000


class Clock:
    """The wall clock of the processes that tests/faults/clock.c is loaded into."""

    def __init__(self, library: Path, file: Path) -> None:
        self._file = file
        self._file.write_bytes(struct.pack("q", 0))
        self.environment = {"LD_PRELOAD": str(library), "DSAL_CLOCK": str(file)}

    def set(self, ahead: timedelta) -> None:
        """Set the clock so far ahead of the true one, at once for all processes."""
        with self._file.open("r+b") as file:
            file.write(struct.pack("q", int(ahead.total_seconds())))


@pytest.fixture
def fake_clock(tmp_path: Path) -> Clock:
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("There is no C compiler here, with which a clock is made that can be set.")
    library = tmp_path / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
    return Clock(library, tmp_path / "ahead")


@pytest.fixture
def elsewhen(server: LabelStudioServer, fake_clock: Clock, tmp_path: Path) -> Iterator[Service]:
    """A service of its own, whose web process, worker and Redis read a clock that the test sets."""
    service = Service(server, tmp_path / "service")
    service.environment |= {**fake_clock.environment, "RECONCILE_SECONDS": "20", "QUIET_SECONDS": "2"}
    service._server.environment = service.environment
    service.start()
    yield service
    service._server.stop()
    service._fork_server.close()


@only_long
@pytest.mark.slow
@pytest.mark.parametrize("ahead", [-HOURS, HOURS], ids=["back", "forward"])
def test_a_clock_that_is_set_in_mid_training(
    elsewhen: Service,
    fake_clock: Clock,
    phantoms: list[Phantom],
    record_property: Record,
    ahead: timedelta,
) -> None:
    service = elsewhen
    # The fork server has no library loaded: these workers are processes of their own.
    command = [sys.executable, "-m", "ml_backend", "worker"]
    with (service.logs / "worker.log").open("ab") as log:
        worker = subprocess.Popen(
            command,
            env={**os.environ, **service.environment, "TRAIN_STEPS": "60"},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    board = Board.connected(service, phantoms[:7])
    way = "forward" if ahead > timedelta(0) else "back"
    stopwatch = Stopwatch(record_property, f"clock set {way} by {abs(ahead)} in mid-training")
    try:
        service.wait(board.published, "the first order")
        with watched(board) as mixed:
            board.annotate(3)
            service.wait(lambda: any("step" in run.message for run in board.runs()), "the training")
            fake_clock.set(ahead)
            stopwatch.over()
            # On a slow machine the quiet time may end a round between two labels.
            service.wait(lambda: learned(board) == 3 and board.idle(), "a version of all three labels")
            # Fewer than a round: learned after a quiet time, which is measured across the change.
            board.annotate(1)
            fake_clock.set(timedelta(0))
            service.wait(lambda: learned(board) == 4 and board.idle(), "a version of all four labels")
        stopwatch.done(board, mixed)
        version = board.published()
        assert version is not None
        check(board, version)
        assert worker.poll() is None
    finally:
        service.label_studio.delete_project(board.id)
        worker.send_signal(signal.SIGTERM)
        worker.wait(timeout=60)
