"""Faults of Redis, workers, queues, database and store."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from alembic import command
from rq import Queue, Worker
from rq.job import Job
from rq.serializers import JSONSerializer
from sqlalchemy import create_engine

from ml_backend.demo.processes import free_port
from ml_backend.doctor import Installation, State
from ml_backend.doctor.infrastructure import OVERDUE, check_database
from ml_backend.queue.clients import client_of, socket_url
from ml_backend.queue.embedded_redis import EmbeddedRedis
from ml_backend.queue.kinds import QUICK, SCORE, TRAIN
from ml_backend.queue.queues import JobQueues
from ml_backend.settings import Settings
from ml_backend.store.database import Database
from ml_backend.store.liveness import ProcessId
from ml_backend.store.migrate import alembic_config
from tests.doctor.conftest import Case


@pytest.fixture
def redis_url(empty: Path) -> Iterator[str]:
    """The URL of a Redis of the test's own, without a worker."""
    server = EmbeddedRedis(empty / "redis")
    yield socket_url(server.socket)
    server.leave()


def test_a_redis_that_is_not_there(case: Case) -> None:
    found = case.diagnose(redis_url=f"redis://:secret@localhost:{free_port()}/0")
    fault = found.fault("Redis", "does not answer")
    assert "REDIS_URL" in fault.cure
    assert "secret" not in fault.sentence
    assert found.state("workers") is found.state("queues") is State.SKIPPED


def test_a_redis_that_was_stopped(case: Case, redis_url: str) -> None:
    assert case.diagnose(redis_url=redis_url).state("Redis") is State.OK
    client_of(redis_url).shutdown(nosave=True)
    case.diagnose(redis_url=redis_url).fault("Redis", "does not answer")


def test_an_address_that_is_no_redis(case: Case) -> None:
    case.diagnose(redis_url="localhost:6379").fault("Redis", "REDIS_URL")


def test_a_folder_on_which_nothing_runs(case: Case, empty: Path) -> None:
    found = case.diagnose(model_dir=empty)
    assert "dsal worker" in found.fault("Redis", "Neither dsal serve nor dsal worker").sentence
    assert "dsal serve" in found.fault("database", "There is none yet").cure
    assert not (empty / "redis").exists()
    assert not list(empty.glob("*.sqlite3"))


def register_worker(client: redis.Redis, process: ProcessId, queues: list[Queue]) -> None:
    """Register a worker in Redis, as `dsal worker` does when it starts."""
    Worker(queues, name=f"{process}#0", connection=client, serializer=JSONSerializer).register_birth()


def test_no_worker_but_a_dead_one(case: Case, redis_url: str) -> None:
    case.diagnose(redis_url=redis_url).fault("workers", "No worker is running")
    ended = subprocess.Popen(["true"])
    ended.wait()
    client = client_of(redis_url)
    # A killed worker is still on the list.
    register_worker(client, replace(ProcessId.current(), pid=ended.pid), JobQueues(client).all())
    case.diagnose(redis_url=redis_url).fault("workers", "No worker is running")


def test_a_worker_that_serves_one_queue_only(case: Case, redis_url: str) -> None:
    client = client_of(redis_url)
    register_worker(client, ProcessId.current(), JobQueues(client).all()[:1])
    case.diagnose(redis_url=redis_url).fault("workers", f"No worker serves {SCORE}, {TRAIN}")


def test_a_job_that_nobody_takes(case: Case, redis_url: str) -> None:
    client = client_of(redis_url)
    queues = JobQueues(client)
    queues.request_score_new(case.project)
    assert case.diagnose(redis_url=redis_url).state("queues") is State.OK
    job = Job.fetch(f"score-new-{case.project}", connection=client, serializer=JSONSerializer)
    job.enqueued_at = datetime.now(UTC) - OVERDUE - timedelta(minutes=1)
    job.save()
    case.diagnose(redis_url=redis_url).fault("queues", "has waited for 16 minutes")


def test_a_training_whose_time_has_come_and_nobody_saw(case: Case, redis_url: str) -> None:
    client = client_of(redis_url)
    JobQueues(client).request_training(case.project, delay=-OVERDUE.total_seconds() - 60)
    case.diagnose(redis_url=redis_url).fault("queues", "has waited for 16 minutes")


def test_a_job_that_failed_for_good(case: Case, redis_url: str) -> None:
    client = client_of(redis_url)
    queues = JobQueues(client)
    queues.request_score_new(case.project)
    job = Job.fetch(f"score-new-{case.project}", connection=client, serializer=JSONSerializer)
    quick = next(queue for queue in queues.all() if queue.name == QUICK)
    quick.remove(job)
    quick.failed_job_registry.add(job, ttl=60, exc_string="It broke.")
    assert case.diagnose(redis_url=redis_url).warned("queues", f"1 in {QUICK}")


def test_a_database_that_does_not_answer(case: Case) -> None:
    found = case.diagnose(database_url=f"postgresql://dsal:secret@localhost:{free_port()}/dsal")
    fault = found.fault("database", "cannot be used")
    assert "secret" not in fault.sentence
    assert found.state("model version") is found.state("projects") is State.SKIPPED
    assert found.warned("call back", "database, which cannot be read")


@pytest.mark.parametrize("url", ["no address", "oracle://db/dsal", "sqlite://"])
def test_an_address_that_is_no_database(case: Case, url: str) -> None:
    case.diagnose(database_url=url).fault("database", "DATABASE_URL")


def test_a_database_without_tables_and_one_of_an_older_release(case: Case, empty: Path) -> None:
    url = f"sqlite:///{empty / 'old.sqlite3'}"
    (empty / "old.sqlite3").touch()
    case.diagnose(database_url=url).fault("database", "revision none")
    engine = create_engine(url)
    with engine.begin() as connection:
        command.upgrade(alembic_config(connection), "0001")
    engine.dispose()
    assert "dsal serve" in case.diagnose(database_url=url).fault("database", "revision 0001").cure


@contextmanager
def as_nobody() -> Iterator[None]:
    """Run as a user who owns nothing, if this process is root, which may write everywhere."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


def test_a_database_that_cannot_be_written(case: Case) -> None:
    folder = Path(tempfile.mkdtemp(prefix="dsal-read-only-"))
    url = f"sqlite:///{folder / 'dsal.sqlite3'}"
    Database(url).close()
    for path in folder.iterdir():
        path.chmod(0o444)
    folder.chmod(0o555)
    try:
        with as_nobody():
            (verdict,) = check_database(Installation(case.settings(database_url=url)))
        assert verdict.state is State.FAULT
        assert "readonly" in verdict.sentence
        assert "right to write" in verdict.cure
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


def test_a_store_that_is_a_file(case: Case, empty: Path) -> None:
    (empty / "store").write_text("not a folder")
    found = case.diagnose(store_url=f"file://{empty / 'store'}")
    assert "STORE_URL" in found.fault("store", "cannot be used").cure
    assert found.state("weights") is State.SKIPPED


@pytest.mark.parametrize("url", ["nosuch://bucket/weights", "abfs://container/weights"])
def test_a_store_that_nothing_here_can_open(case: Case, url: str) -> None:
    assert case.diagnose(store_url=url).named("store")[0].state is State.FAULT


def test_a_local_queue_beside_a_shared_database_is_a_warning(case: Case) -> None:
    assert Settings(database_url="postgresql://x@localhost:1/x").redis_url == ""
    found = case.diagnose(database_url=f"postgresql://dsal@localhost:{free_port()}/dsal")
    assert found.warned("Redis", "The queue is on this machine")
