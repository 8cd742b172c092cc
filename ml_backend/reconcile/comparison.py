"""One look at everything: the queue, then project after project, each by itself."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from redis.exceptions import LockError
from rq.utils import as_text

from ml_backend.label_studio.errors import GONE, LabelStudioError
from ml_backend.learn.trigger import consider
from ml_backend.queue import kinds, recovery
from ml_backend.queue.context import Context
from ml_backend.queue.jobs import job
from ml_backend.queue.queues import JobQueues
from ml_backend.reconcile import (
    failed_trainings,
    lost_scores,
    lost_weights,
    missed_labels,
    outdated_order,
    resume,
    shown_order,
)
from ml_backend.reconcile.finding import Finding
from ml_backend.store import liveness, projects, versions
from ml_backend.store.liveness import ProcessId
from ml_backend.store.models import Project

logger = logging.getLogger(__name__)

LOCK = "dsal-reconcile-lock"
LOCK_SECONDS = 900.0
"""A lock whose holder cannot be known to live is given up after this; each project renews it."""


class BusyError(RuntimeError):
    """Somebody else is looking already."""


@job(kinds.RECONCILE)
def reconcile_projects(context: Context) -> None:
    """Compare all projects with Label Studio and repair what differs; each finding is a line of the log."""
    try:
        for finding in reconcile(context):
            logger.warning("%s", finding)
    except BusyError as busy:
        logger.info("%s", busy)


def reconcile(
    context: Context, project_id: int | None = None, *, thorough: bool = False
) -> Iterator[Finding]:
    """Compare all projects, or one, with Label Studio and mend what differs; yields each finding at once.

    On a quiet project it costs five requests. `thorough` also compares prediction by prediction where the
    totals agree. What fails in one project is a finding of its own and holds no other up.

    Raises:
        BusyError: another process is at it.
        LabelStudioError: Label Studio does not answer at all, or refuses the token.
    """
    with _alone(context.queues) as renew:
        yield from _queue(context)
        with context.database.read() as session:
            known = projects.all_projects(session)
        for project in known:
            if project_id not in (None, project.id) or project.archived_by_hand:
                continue
            renew()
            try:
                yield from _project(context, project, thorough)
            except LabelStudioError as error:
                if error.status in (None, 401):
                    raise
                yield Finding(project.id, f"It cannot be compared: {error}", repaired=False)
            except Exception as error:
                logger.exception("Project %d cannot be compared.", project.id)
                yield Finding(project.id, f"It cannot be compared: {error}", repaired=False)


def _project(context: Context, project: Project, thorough: bool) -> Iterator[Finding]:
    try:
        fields = context.label_studio.project(project.id)
    except LabelStudioError as error:
        if error.status != GONE:
            raise
        if project.archived_at is None:
            with context.database.write() as session:
                projects.archive(session, session.get_one(Project, project.id), by_hand=False)
            yield Finding(
                project.id, "Label Studio no longer shows it: archived, with all rows and weights kept."
            )
        return
    if project.archived_at is not None:
        with context.database.write() as session:
            projects.restore(session, session.get_one(Project, project.id))
        consider(context.database, context.queues, context.settings, project.id)
        yield Finding(project.id, "Label Studio shows it again: no longer archived.")
    renewed = _is_renewed(context, project, fields)
    if renewed and context.queues.request_order(project.id):
        yield Finding(project.id, "Its labeling config had changed: read again.")
    # After Label Studio's answer: a version published in between is then the one known here.
    with context.database.read() as session:
        current = session.get_one(Project, project.id)
        version = versions.published(session, project.id)
    if version is not None:
        stored = context.label_studio.model_versions(project.id)
        yield from shown_order.repair(context, current, version, fields, stored)
        if not renewed:
            yield from outdated_order.repair(context, current, version)
        yield from lost_weights.repair(context, version)
        yield from lost_scores.repair(context, version, stored, thorough=thorough)
    yield from missed_labels.repair(context, current)
    yield from failed_trainings.repair(context, current)


def _is_renewed(context: Context, project: Project, fields: Mapping[str, Any]) -> bool:
    """Note what Label Studio says of the project; True if its labeling config has changed."""
    config, title = fields["label_config"], fields["title"]
    if projects.matches(project, config, title):
        return False
    with context.database.write() as session:
        return projects.note(session, project.id, config, title, seed=context.settings.seed)


def _queue(context: Context) -> Iterator[Finding]:
    """Take up what dead workers left, and ask for jobs that the database misses in the queue."""
    queues = context.queues
    recovery.forget_dead_workers(queues)
    again = recovery.requeue_abandoned(queues, f"{ProcessId.current()}#reconcile")
    again += recovery.requeue_lost(queues, beside_others=True)
    again += resume.resume_orderings(context.database, queues)
    again += resume.resume_trainings(context.settings, context.database, queues)
    if again:
        yield Finding(None, f"{again} jobs were missing in the queue: asked for again.")


@contextmanager
def _alone(queues: JobQueues) -> Iterator[Callable[[], bool]]:
    """Hold the lock that lets one process look at a time; a dead holder's lock is broken."""
    client, mine = queues.redis, str(ProcessId.current())
    holder = client.get(LOCK)
    if holder is not None and liveness.alive(as_text(holder)) is False:
        client.delete(LOCK)
    lock = client.lock(LOCK, timeout=LOCK_SECONDS)
    if not lock.acquire(blocking=False, token=mine):
        raise BusyError("Another process is comparing the projects with Label Studio; try again later.")
    try:
        yield lock.reacquire
    finally:
        try:
            lock.release()
        except LockError:
            logger.warning("The comparison took longer than %.0f s.", LOCK_SECONDS)
