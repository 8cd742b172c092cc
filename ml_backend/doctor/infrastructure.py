"""What the service stands on: Redis, workers, queues, the database, the weights."""

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
from ml_backend.queue.embedded_redis import running_socket
from ml_backend.queue.queues import JobQueues, client_of, socket_url
from ml_backend.store import versions
from ml_backend.store.database import Database, DatabaseError
from ml_backend.store.migrate import revisions
from ml_backend.store.models import VersionState
from ml_backend.store.weights import WeightStore, WeightStoreError

OVERDUE = timedelta(minutes=15)
"""A job that waits longer than this while no worker is busy is stuck."""

DATABASE_CURE = "Start it, mend DATABASE_URL, or give this user the right to write; in SQLite to its folder."


def look_at_redis(installation: Installation) -> Iterator[Verdict]:
    """Whether Redis answers; an embedded one is not started for this."""
    url = installation.settings.redis_url
    if not url:
        socket = running_socket(installation.settings.redis_dir)
        if socket is None:
            yield fault(
                f"Neither dsal serve nor dsal worker runs on MODEL_DIR {installation.settings.model_dir}: "
                "their Redis is not up.",
                "Start both, with the same MODEL_DIR; or set REDIS_URL, if they run on other machines.",
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
            "The queue is on this machine, while the database is on a server.",
            "For workers on several machines set REDIS_URL on all of them.",
        )
    else:
        yield ok(f"It answers at {_without_password(url)}.")


def look_at_workers(installation: Installation) -> Iterator[Verdict]:
    """Whether any worker lives that takes the service's jobs."""
    assert installation.redis is not None
    known = Worker.all(connection=installation.redis, serializer=JSONSerializer)
    living = [worker for worker in known if recovery.is_living(installation.redis, worker.name)]
    served = {name for worker in living for name in worker.queue_names()}
    idle = [queue.name for queue in JobQueues(installation.redis).all() if queue.name not in served]
    if not living:
        yield fault("No worker runs: nothing is trained or scored.", "Start dsal worker.")
    elif idle:
        yield fault(f"No worker serves {', '.join(idle)}.", "Start dsal worker.")
    else:
        yield ok("One runs." if len(living) == 1 else f"{len(living)} run.")


def look_at_queues(installation: Installation) -> Iterator[Verdict]:
    """Whether jobs wait for ever, or have failed for good."""
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
            "Restart dsal worker: it takes up what was left.",
        )
    failed = {name: count for name, count in queues.failed().items() if count}
    if failed:
        what = ", ".join(f"{count} in {name}" for name, count in failed.items())
        yield warning(
            f"Jobs have failed for good: {what}.",
            "The log of dsal worker says why; they are asked for again by the next annotation or dsal score.",
        )
    if not stuck and not failed:
        yield ok(f"{sum(queues.depths().values())} jobs wait, none failed.")


def _longest_wait(queue: Queue) -> timedelta | None:
    """How long the first job of a queue has waited, or one whose time has come was not put there."""
    now = datetime.now(UTC)
    since = []
    if job_ids := queue.get_job_ids(0, 1):
        job = queue.fetch_job(job_ids[0])
        if job is not None and job.enqueued_at is not None:
            since.append(job.enqueued_at.replace(tzinfo=job.enqueued_at.tzinfo or UTC))
    registry = ScheduledJobRegistry(queue=queue)
    since += [registry.get_scheduled_time(job_id) for job_id in registry.get_job_ids(0, 0, cleanup=False)]
    return max((now - moment for moment in since), default=None)


def look_at_database(installation: Installation) -> Iterator[Verdict]:
    """Whether the database answers, has the tables of this release, and can be written."""
    opened = _opened(installation.settings.effective_database_url)
    if isinstance(opened, Verdict):
        yield opened
        return
    installation.database = opened
    try:
        _write_nothing(opened)
    except SQLAlchemyError as error:
        said = f"It can be read at {_shown(opened)}, but not written: {_reason(error)}."
        yield fault(said, DATABASE_CURE)
        return
    yield ok(f"{_shown(opened)} is up to date and can be written.")


def _opened(url: str) -> Database | Verdict:
    """The database if it can be read and is of this release, else what is wrong; nothing is migrated."""
    try:
        database = Database(url, migrate=False)
    except DatabaseError as error:
        return fault(str(error), "Mend DATABASE_URL.")
    except ImportError as error:
        return fault(f"DATABASE_URL needs a package: {one_line(error)}.", "Install it, or mend DATABASE_URL.")
    wrong = _wrong_with(database)
    if wrong is None:
        return database
    database.close()
    return wrong


def _wrong_with(database: Database) -> Verdict | None:
    if database.file is not None and not database.file.exists():
        return fault(f"There is none yet at {_shown(database)}.", "Start dsal serve, which makes it.")
    try:
        present, wanted = revisions(database.engine)
    except SQLAlchemyError as error:
        return fault(f"It cannot be used at {_shown(database)}: {_reason(error)}.", DATABASE_CURE)
    if present == wanted:
        return None
    return fault(
        f"Its tables are of revision {present or 'none'}, and this release wants {wanted}.",
        "Restart dsal serve, which updates them; if they are the newer ones, update this machine's dsal.",
    )


def _shown(database: Database) -> str:
    return database.url.render_as_string(hide_password=True)


def _write_nothing(database: Database) -> None:
    """Change a row of no project, and take it back: needs every right that a write needs."""
    with database.write() as session:
        session.execute(text("UPDATE projects SET seed = seed WHERE id < 0"))
        session.rollback()


def _reason(error: SQLAlchemyError) -> str:
    return one_line(getattr(error, "orig", error))


def look_at_store(installation: Installation) -> Iterator[Verdict]:
    """Whether the store of weights takes a small file, gives it back, and deletes it."""
    url = installation.settings.effective_store_url
    cure = "Mend STORE_URL, or the rights on that place and on MODEL_DIR."
    try:
        store = WeightStore(url, installation.settings.weights_cache_dir)
        _round_trip(store)
    except ImportError as error:
        yield fault(f"STORE_URL {_without_password(url)} needs a package: {one_line(error)}.", "Install it.")
        return
    except (OSError, ValueError, WeightStoreError) as error:
        yield fault(f"{_without_password(url)} cannot be used: {one_line(error)}.", cure)
        return
    yield ok(f"{_without_password(url)} takes, gives and deletes a file.")


def _round_trip(store: WeightStore) -> None:
    content = f"dsal doctor {uuid.uuid4()}"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "probe").write_text(content)
        key = store.put(Path(folder))
    try:
        if (store.get(key) / "probe").read_text() != content:
            raise WeightStoreError("what was stored came back as something else")
    finally:
        store.delete(key)


def look_at_weights(installation: Installation) -> Iterator[Verdict]:
    """Whether the published versions' weights are in this store, which all machines must share."""
    assert installation.database is not None
    with installation.database.read() as session:
        published = [
            version
            for version in versions.of_project(session)
            if version.state is VersionState.PUBLISHED and version.weights_hash is not None
        ]
    store = WeightStore(installation.settings.effective_store_url, installation.settings.weights_cache_dir)
    missing = [one.name for one in published if not store.contains(str(one.weights_hash))]
    if missing:
        shown = _without_password(installation.settings.effective_store_url)
        yield fault(
            f"The weights of {', '.join(missing)} are not in {shown}.",
            "Set STORE_URL to the place that all machines share; if the weights are lost, train again.",
        )
    elif published:
        yield ok(f"Those of {', '.join(one.name for one in published)} are there.")
    else:
        yield ok("None are published yet.")


def _without_password(url: str) -> str:
    """An address fit to be shown."""
    parts = urlsplit(url)
    return url if parts.password is None else url.replace(f":{parts.password}@", ":***@")
