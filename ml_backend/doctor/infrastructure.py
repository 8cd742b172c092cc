"""Checks of Redis, the workers, the queues, the database, the store and the weights."""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from redis.exceptions import RedisError
from rq import Queue, Worker
from rq.registry import ScheduledJobRegistry
from rq.serializers import JSONSerializer
from rq.worker import WorkerStatus
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from ml_backend.doctor.finding import Verdict, fault, ok, one_line, warning
from ml_backend.doctor.installation import Installation
from ml_backend.queue import recovery
from ml_backend.queue.clients import client_of, socket_url
from ml_backend.queue.embedded_redis import running_socket
from ml_backend.queue.kinds import Lane
from ml_backend.queue.queues import JobQueues
from ml_backend.store import versions
from ml_backend.store.database import Database, DatabaseError
from ml_backend.store.migrate import revisions
from ml_backend.store.models import Version, VersionState
from ml_backend.store.weights import WeightStore, WeightStoreError
from ml_backend.work.lanes import LANES

OVERDUE = timedelta(minutes=15)
"""A job that has waited longer than this while no worker is busy is reported as stuck."""

DATABASE_CURE = (
    "Start the database, correct DATABASE_URL, or give this user the right to write "
    "(for SQLite, to the file and its folder)."
)


def check_redis(installation: Installation) -> Iterator[Verdict]:
    """Whether Redis answers; an embedded one is not started by this check."""
    url = installation.settings.redis_url
    if not url:
        socket = running_socket(installation.settings.redis_dir)
        if socket is None:
            yield fault(
                "Neither dsal serve nor dsal worker runs with MODEL_DIR "
                f"{installation.settings.model_dir}, so their embedded Redis is not running.",
                "Start both with the same MODEL_DIR, or set REDIS_URL if they run on other machines.",
            )
            return
        url = socket_url(socket)
    try:
        client = client_of(url)
        client.ping()
    except (RedisError, ValueError) as error:
        yield fault(
            f"Redis does not answer at {_without_password(url)}: {one_line(error)}.",
            "Start Redis, or set REDIS_URL to its address.",
        )
        return
    installation.redis = client
    if not installation.settings.redis_url and "sqlite" not in installation.settings.effective_database_url:
        yield warning(
            "The queue is on this machine, but the database is on a server.",
            "If workers run on several machines, set REDIS_URL on all of them.",
        )
    else:
        yield ok(f"It answers at {_without_password(url)}.")


def check_workers(installation: Installation) -> Iterator[Verdict]:
    """Whether a worker is running for each of the service's queues."""
    assert installation.redis is not None
    known = Worker.all(connection=installation.redis, serializer=JSONSerializer)
    running = [worker for worker in known if recovery.is_living(installation.redis, worker.name)]
    served = {name for worker in running for name in worker.queue_names()}
    unserved = [queue.name for queue in JobQueues(installation.redis).all() if queue.name not in served]
    if not running:
        yield fault("No worker is running: nothing is trained or scored.", "Start dsal worker.")
    elif unserved:
        yield fault(f"No worker serves {', '.join(unserved)}.", "Start dsal worker.")
    else:
        quick, training = (
            sum(LANES[lane][0] in worker.queue_names() for worker in running)
            for lane in (Lane.QUICK, Lane.TRAINING)
        )
        yield ok(f"Running: {quick} for quick jobs, {training} for trainings.")


def check_queues(installation: Installation) -> Iterator[Verdict]:
    """Whether a job is stuck, and whether jobs have failed for good."""
    assert installation.redis is not None
    queues = JobQueues(installation.redis)
    workers = Worker.all(connection=installation.redis, serializer=JSONSerializer)
    busy = any(worker.get_state() == WorkerStatus.BUSY for worker in workers)
    waits = [wait for queue in queues.all() if (wait := _longest_wait(queue)) is not None]
    stuck = bool(waits) and max(waits) > OVERDUE and not busy
    if stuck:
        minutes = int(max(waits).total_seconds() // 60)
        yield fault(
            f"A job has waited for {minutes} minutes while no worker was busy.",
            "Restart dsal worker; it resumes the jobs that were left.",
        )
    failed = {name: count for name, count in queues.failed().items() if count}
    if failed:
        what = ", ".join(f"{count} in {name}" for name, count in failed.items())
        yield warning(
            f"Jobs have failed for good: {what}.",
            "The log of dsal worker says why; the next annotation or dsal score requests them again.",
        )
    if not stuck and not failed:
        yield ok(f"{sum(queues.depths().values())} jobs are waiting, none failed.")


def _longest_wait(queue: Queue) -> timedelta | None:
    """How long a queue's first job has waited, or how long its first scheduled job is overdue."""
    now = datetime.now(UTC)
    since = []
    if job_ids := queue.get_job_ids(0, 1):
        job = queue.fetch_job(job_ids[0])
        if job is not None and job.enqueued_at is not None:
            since.append(job.enqueued_at.replace(tzinfo=job.enqueued_at.tzinfo or UTC))
    registry = ScheduledJobRegistry(queue=queue)
    since += [registry.get_scheduled_time(job_id) for job_id in registry.get_job_ids(0, 0, cleanup=False)]
    return max((now - moment for moment in since), default=None)


def check_database(installation: Installation) -> Iterator[Verdict]:
    """Whether the database answers, has this release's schema, and is writable."""
    opened = _opened(installation.settings.effective_database_url)
    if isinstance(opened, Verdict):
        yield opened
        return
    installation.database = opened
    try:
        _write_nothing(opened)
    except SQLAlchemyError as error:
        yield fault(f"{_shown(opened)} can be read but not written: {_reason(error)}.", DATABASE_CURE)
        return
    yield ok(f"{_shown(opened)} is up to date and writable.")


def _opened(url: str) -> Database | Verdict:
    """The database if it can be read and has this release's schema, else the fault; migrates nothing."""
    try:
        database = Database(url, migrate=False)
    except DatabaseError as error:
        return fault(str(error), "Correct DATABASE_URL.")
    except ImportError as error:
        return fault(
            f"DATABASE_URL needs a package: {one_line(error)}.", "Install it, or correct DATABASE_URL."
        )
    wrong = _wrong_with(database)
    if wrong is None:
        return database
    database.close()
    return wrong


def _wrong_with(database: Database) -> Verdict | None:
    if database.file is not None and not database.file.exists():
        return fault(f"There is none yet at {_shown(database)}.", "Start dsal serve, which creates it.")
    try:
        present, wanted = revisions(database.engine)
    except DatabaseError as error:
        return fault(str(error), "Restart dsal serve and dsal worker after that.")
    except SQLAlchemyError as error:
        return fault(f"{_shown(database)} cannot be used: {_reason(error)}.", DATABASE_CURE)
    if present == wanted:
        return None
    return fault(
        f"Its schema has revision {present or 'none'}, but this release needs {wanted}.",
        "Restart dsal serve, which migrates it; if it is newer than this release, update dsal here.",
    )


def _shown(database: Database) -> str:
    return database.url.render_as_string(hide_password=True)


def _write_nothing(database: Database) -> None:
    """Run an UPDATE that matches no row, and roll it back: it needs the same rights as a real write."""
    with database.write() as session:
        session.execute(text("UPDATE projects SET seed = seed WHERE id < 0"))
        session.rollback()


def _reason(error: SQLAlchemyError) -> str:
    return one_line(getattr(error, "orig", error))


def check_store(installation: Installation) -> Iterator[Verdict]:
    """Whether a small file can be written to the store, read and deleted."""
    url = installation.settings.effective_store_url
    cure = "Correct STORE_URL, or the permissions of that location and of MODEL_DIR."
    try:
        store = WeightStore(url, installation.settings.weights_cache_dir)
        _round_trip(store)
    except ImportError as error:
        yield fault(f"STORE_URL {_without_password(url)} needs a package: {one_line(error)}.", "Install it.")
        return
    except (OSError, ValueError, WeightStoreError) as error:
        yield fault(f"{_without_password(url)} cannot be used: {one_line(error)}.", cure)
        return
    yield ok(f"A file was written to {_without_password(url)}, read and deleted.")


def _round_trip(store: WeightStore) -> None:
    content = f"dsal doctor {uuid.uuid4()}"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "probe").write_text(content)
        key = store.put(Path(folder))
    try:
        if (store.get(key) / "probe").read_text() != content:
            raise WeightStoreError("a file that was stored came back with other content")
    finally:
        store.delete(key)


def check_weights(installation: Installation) -> Iterator[Verdict]:
    """Whether the versions' weights are in the store, which all machines must share, and are undamaged.

    Of a store on another machine only the published versions' weights are read whole.
    """
    assert installation.database is not None
    with installation.database.read() as session:
        known = [one for one in versions.of_project(session) if one.weights_hash is not None]
    published = [one for one in known if one.state is VersionState.PUBLISHED]
    store = WeightStore(installation.settings.effective_store_url, installation.settings.weights_cache_dir)
    missing = [one.name for one in published if not store.contains(str(one.weights_hash))]
    if missing:
        shown = _without_password(installation.settings.effective_store_url)
        yield fault(
            f"The weights of {', '.join(missing)} are not in {shown}.",
            "Set STORE_URL to the location that all machines share; if the weights are lost, train again.",
        )
    damaged = [one for one in (known if store.is_local else published) if _is_damaged(store, one)]
    for one in damaged:
        found = fault if one in published else warning
        yield found(
            f"The weights of {one.name} are damaged in the store: files under {one.weights_hash} do not have "
            "the digests that they were stored with.",
            "Restore that folder from a backup, and check the disk. Else dsal reconcile restores it from "
            "this machine's cache, or lets the newest undamaged version take over."
            if one in published
            else "Restore that folder from a backup, and check the disk; no training starts from it.",
        )
    if missing or any(one in published for one in damaged):
        return
    if published:
        yield ok(f"The store has those of {', '.join(one.name for one in published)}.")
    else:
        yield ok("None are published yet.")


def _is_damaged(store: WeightStore, version: Version) -> bool:
    key = str(version.weights_hash)
    return store.contains(key) and not store.is_whole(key)


def _without_password(url: str) -> str:
    """A URL with its password replaced by ***."""
    parts = urlsplit(url)
    return url if parts.password is None else url.replace(f":{parts.password}@", ":***@")
