import subprocess
import sys
import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from ml_backend.store import events, projects, runs
from ml_backend.store.database import Database
from ml_backend.store.liveness import ProcessId
from ml_backend.store.models import RunState, TrainingRun, now
from ml_backend.store.runs import LeaseLostError

ME = ProcessId.current()
FAR = replace(ME, host="elsewhere")


@pytest.fixture(autouse=True)
def project(database: Database) -> None:
    with database.write() as session:
        projects.ensure(session, 3, seed=0)


def change(database: Database, *names: str) -> None:
    with database.write() as session:
        events.add(session, 3, "ANNOTATION_CREATED", changes=names)


def begin(database: Database, owner: ProcessId = ME, *, force: bool = False) -> int | None:
    with database.write() as session:
        run = runs.begin(session, 3, owner, force=force)
        return None if run is None else run.id


def test_what_a_run_says_may_quote_anything(database: Database) -> None:
    number = begin(database, force=True)
    assert number is not None
    with database.write() as session:
        run = session.get_one(TrainingRun, number)
        run.message = "a NUL \0 and half an emoji \ud83d"
        project = projects.ensure(session, 3, seed=0)
        project.extent = {"tasks": float("nan"), "changed_at": "\0\udc00"}
    with database.read() as session:
        assert session.get_one(TrainingRun, number).message == "a NUL \ufffd and half an emoji \ufffd"
        assert projects.ensure(session, 3, seed=0).extent == {"tasks": None, "changed_at": "\ufffd\ufffd"}


def finish(database: Database, run_id: int, state: RunState) -> None:
    with database.write() as session:
        runs.finish(session, session.get_one(TrainingRun, run_id), state)


def test_without_changes_no_run_begins_unless_forced(database: Database) -> None:
    assert begin(database) is None
    assert begin(database, force=True) is not None


def test_a_run_consumes_pending_events_and_no_later_ones(database: Database) -> None:
    change(database, "annotation:1", "annotation:2")
    change(database, "annotation:2")
    with database.read() as session:
        assert events.pending(session, 3).changes == 2
    assert begin(database) is not None
    change(database, "annotation:3")
    with database.read() as session:
        waiting = events.pending(session, 3)
    assert (waiting.changes, waiting.fresh) == (1, True)


def test_a_requested_training_is_distinguished_from_others(database: Database) -> None:
    def requested(run_id: int) -> bool:
        with database.read() as session:
            return events.was_asked_for(session, run_id)

    change(database, "annotation:1")
    first = begin(database)
    assert first is not None
    with database.write() as session:
        events.add(session, 3, events.START_TRAINING)
    assert not requested(first), "requested after the run had begun"
    finish(database, first, RunState.FAILED)
    second = begin(database)
    assert second is not None
    assert requested(second)
    assert not requested(first)
    finish(database, second, RunState.FAILED)
    third = begin(database)
    assert third is not None
    assert requested(third), "a request consumed by a failed run still counts"


def test_one_training_at_a_time(database: Database) -> None:
    change(database, "annotation:1")
    first = begin(database, FAR)
    change(database, "annotation:2")
    assert begin(database, ME) is None
    assert first is not None
    finish(database, first, RunState.FINISHED)
    assert begin(database, ME) not in {None, first}


def test_the_run_of_a_dead_process_is_continued_at_once(database: Database) -> None:
    code = "from ml_backend.store.liveness import ProcessId; print(ProcessId.current())"
    dead = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    gone = ProcessId.parse(dead.stdout.strip())
    assert gone is not None
    change(database, "annotation:1")
    first = begin(database, gone)
    change(database, "annotation:2")
    with database.read() as session:
        assert [run.id for run in runs.abandoned(session)] == [first]
    assert begin(database, ME) == first
    with database.read() as session:
        run = session.get_one(TrainingRun, first)
        assert (run.owner, run.attempts) == (str(ME), 2)
        assert events.pending(session, 3).changes == 0


def test_the_run_of_another_machine_is_continued_once_its_lease_has_expired(database: Database) -> None:
    change(database, "annotation:1")
    first = begin(database, FAR)
    assert begin(database, ME) is None
    with database.write() as session:
        session.get_one(TrainingRun, first).heartbeat_at = now() - runs.LEASE - timedelta(seconds=1)
    assert begin(database, ME) == first
    with pytest.raises(LeaseLostError), database.write() as session:
        runs.keep(session, first or 0, FAR)


def test_a_live_process_on_this_machine_keeps_its_run_without_heartbeats(database: Database) -> None:
    change(database, "annotation:1")
    first = begin(database, ME)
    with database.write() as session:
        session.get_one(TrainingRun, first).heartbeat_at = now() - 10 * runs.LEASE
    with database.read() as session:
        assert runs.abandoned(session) == []


def test_events_of_a_failed_run_are_pending_again_but_not_fresh(database: Database) -> None:
    change(database, "annotation:1")
    first = begin(database)
    assert first is not None
    finish(database, first, RunState.FAILED)
    with database.read() as session:
        waiting = events.pending(session, 3)
        assert (waiting.changes, waiting.fresh) == (1, False)
        assert runs.count(session)[RunState.FAILED] == 1
    change(database, "annotation:2")
    with database.read() as session:
        waiting = events.pending(session, 3)
    assert (waiting.changes, waiting.fresh) == (2, True)
    second = begin(database)
    assert second is not None
    finish(database, second, RunState.FINISHED)
    with database.read() as session:
        assert not events.pending(session, 3)


def test_of_two_simultaneous_runs_one_begins(database: Database) -> None:
    change(database, "annotation:1")
    won: list[int] = []
    lost: list[object] = []
    gate = threading.Barrier(2)

    def compete(owner: ProcessId) -> None:
        gate.wait()
        try:
            run = begin(database, owner)
        except IntegrityError as error:
            lost.append(error)
        else:
            if run is None:
                lost.append(run)
            else:
                won.append(run)

    threads = [threading.Thread(target=compete, args=(replace(FAR, pid=number),)) for number in (1, 2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(won), len(lost)) == (1, 1)


def test_old_events_are_pruned_once_consumed(database: Database) -> None:
    change(database, "annotation:1")
    begin(database)
    change(database, "annotation:2")
    with database.write() as session:
        events.prune(session, older_than=timedelta(0))
    with database.read() as session:
        assert events.pending(session, 3).changes == 1
