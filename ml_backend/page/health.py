"""What stands in the way, each with its cure, as far as database, Redis and this machine know it.

`dsal doctor` examines more: it also asks Label Studio.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from redis.exceptions import RedisError
from rq import Worker
from rq.serializers import JSONSerializer
from sqlalchemy.orm import Session

from ml_backend.label_studio.config import LabelConfigError, parse
from ml_backend.queue import recovery
from ml_backend.queue.queues import JobQueues
from ml_backend.settings import Settings
from ml_backend.store import runs, scores, versions
from ml_backend.store.models import Project, RunState


@dataclass(frozen=True)
class Problem:
    """One sentence about what is wrong, and one that says what to do.

    Attributes:
        is_fault: whether something does not work; otherwise it is only worth knowing.
    """

    what: str
    cure: str
    is_fault: bool = True


def of_installation(settings: Settings, queues: JobQueues) -> Iterator[Problem]:
    """Problems that concern all projects."""
    yield from _of_workers(queues)
    if settings.basic_auth is None:
        yield Problem(
            "There is no password: everybody who reaches this address may publish and delete versions.",
            "Set BASIC_AUTH_USER and BASIC_AUTH_PASS, restart, and run dsal connect again.",
            is_fault=False,
        )
    free = _free_bytes(settings)
    if free is not None and free < settings.min_free_bytes:
        yield Problem(
            f"Only {free / 2**20:.0f} MiB are free on the disk of MODEL_DIR.",
            "Make room, or lower CACHE_BYTES and KEEP_VERSIONS.",
        )


def _free_bytes(settings: Settings) -> int | None:
    """Free bytes on the disk of MODEL_DIR; None if there is no such folder yet."""
    try:
        return shutil.disk_usage(settings.model_dir).free
    except OSError:
        return None


def _of_workers(queues: JobQueues) -> Iterator[Problem]:
    try:
        known = Worker.all(connection=queues.redis, serializer=JSONSerializer)
        running = [worker for worker in known if recovery.is_living(queues.redis, worker.name)]
        served = {name for worker in running for name in worker.queue_names()}
        failed = sum(queues.failed().values())
    except RedisError:
        yield Problem(
            "Redis does not answer: no job is taken.",
            "Start Redis, or correct REDIS_URL; without one, restart dsal serve.",
        )
        return
    unserved = [queue.name for queue in queues.all() if queue.name not in served]
    if not running:
        yield Problem("No worker is running: nothing is trained or scored.", "Start dsal worker.")
    elif unserved:
        yield Problem(f"No worker serves {', '.join(unserved)}.", "Start dsal worker.")
    if failed:
        many = "1 job has" if failed == 1 else f"{failed} jobs have"
        yield Problem(
            f"{many} failed for good.", "Jobs, below, says why; try it again there.", is_fault=False
        )


def of_project(session: Session, project: Project) -> Iterator[Problem]:
    """Problems of one project; an archived one has none."""
    if project.archived_at is not None:
        return
    try:
        for fault in parse(project.label_config).faults:
            yield Problem(fault, "Correct the labeling config in Label Studio's settings.")
    except LabelConfigError as error:
        yield Problem(str(error), "Correct the labeling config in Label Studio's settings.")
    if project.called_at is None:
        yield Problem(
            "Label Studio has never asked this service about the project.",
            f"Run dsal connect --project {project.id}; dsal doctor finds out why if that does not help.",
        )
    run = runs.last(session, project.id)
    if run is not None and run.state is RunState.FAILED:
        yield Problem(
            f"The last training failed: {run.message}",
            "Remove the cause, then train again; after a temporary failure that happens by itself."
            if run.passing
            else "Remove the cause, then train again.",
        )
    version = versions.published(session, project.id)
    unread = 0 if version is None else scores.unreadable(session, version.id)
    if unread:
        many = "1 image" if unread == 1 else f"{unread} images"
        yield Problem(
            f"{many} could not be read, or Label Studio refuses the mask.",
            "dsal status says why; have them read again once that is mended.",
            is_fault=False,
        )
