"""The comparison: first the queue, then each project with Label Studio, independently of the others."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from redis.exceptions import LockError
from rq.utils import as_text

from ml_backend.items import is_outside, reason
from ml_backend.label_studio.errors import GONE, LabelStudioError
from ml_backend.queue import kinds, recovery
from ml_backend.queue.context import Context
from ml_backend.queue.jobs import job
from ml_backend.queue.queues import JobQueues
from ml_backend.reconcile import (
    failed_trainings,
    leftovers,
    lifecycle,
    lost_weights,
    missed_labels,
    order,
    predictions,
    resume,
)
from ml_backend.reconcile.discrepancy import Discrepancy
from ml_backend.store import liveness, projects, versions
from ml_backend.store.liveness import ProcessId
from ml_backend.store.models import Project

logger = logging.getLogger(__name__)

LOCK = "dsal-reconcile-lock"
LOCK_SECONDS = 900.0
"""Expiry of the lock, for processes that may be dead on another machine; each project renews it."""


class BusyError(RuntimeError):
    """Another process is comparing already."""


@job(kinds.RECONCILE)
def reconcile_projects(context: Context) -> None:
    """Compare all projects with Label Studio, repair what differs, and log each finding."""
    try:
        for finding in reconcile(context):
            logger.warning("%s", finding)
        if context.queues.end_waiting():
            logger.info("Label Studio answers: what waited for it is tried again.")
    except BusyError as busy:
        logger.info("%s", busy)


def reconcile(
    context: Context, project_id: int | None = None, *, thorough: bool = False
) -> Iterator[Discrepancy]:
    """Compare all projects, or one, with Label Studio and repair what differs; yields each finding at once.

    An unchanged project costs five requests. With `thorough`, predictions are compared one by one even if
    their totals agree. An error in one project is a finding and does not stop the comparison of the others.

    Raises:
        BusyError: another process is comparing.
        LabelStudioError: Label Studio does not answer, or refuses the token.
    """
    with _exclusive(context.queues) as renew:
        yield from _repair_queue(context)
        yield from leftovers.repair(context)
        with context.database.read() as session:
            known = projects.all_projects(session)
        for project in known:
            if project_id not in (None, project.id) or project.archived_by_hand:
                continue
            renew()
            try:
                yield from _repair_project(context, project, thorough)
            except LabelStudioError as error:
                if error.status in (None, 401):
                    raise
                yield Discrepancy(project.id, f"The comparison failed: {error}", repaired=False)
            except Exception as error:
                logger.exception("The comparison of project %d failed.", project.id)
                yield Discrepancy(project.id, f"The comparison failed: {error}", repaired=False)


def _repair_queue(context: Context) -> Iterator[Discrepancy]:
    """Requeue what dead workers left, and request unfinished work that has no job."""
    queues = context.queues
    recovery.forget_dead_workers(queues)
    requested = recovery.requeue_abandoned(queues, f"{ProcessId.current()}#reconcile")
    requested += recovery.requeue_lost(queues, beside_others=True)
    requested += resume.resume_orders(context.database, queues)
    resume.resume_rest(context.database, queues)
    requested += resume.resume_trainings(context.settings, context.database, queues)
    if requested:
        yield Discrepancy(None, f"{requested} jobs were missing: requested again.")


def _repair_project(context: Context, project: Project, thorough: bool) -> Iterator[Discrepancy]:
    try:
        fields = context.label_studio.project(project.id)
    except LabelStudioError as error:
        if error.status != GONE:
            raise
        yield from lifecycle.archive_deleted(context, project)
        return
    yield from lifecycle.restore_shown(context, project)
    changed = _config_has_changed(context, project, fields)
    if changed and context.queues.request_order(project.id):
        yield Discrepancy(project.id, "The labeling config has changed: a new order was requested.")
    # Read after Label Studio's answer, so that a version published in between is known here.
    with context.database.read() as session:
        current = session.get_one(Project, project.id)
        version = versions.published(session, project.id)
    if version is not None:
        stored = context.label_studio.model_versions(project.id)
        steps = [order.repair_display(context, current, version, fields, stored)]
        steps += [] if changed else [order.repair_outdated(context, current, version)]
        steps += [
            lost_weights.repair(context, version),
            predictions.repair(context, version, stored, thorough=thorough),
        ]
    else:
        steps = []
    steps += [missed_labels.repair(context, current), failed_trainings.repair(context, current)]
    for step in steps:
        yield from _alone(project, step)


def _alone(project: Project, step: Iterator[Discrepancy]) -> Iterator[Discrepancy]:
    """The findings of one step; one that fails by what it found does not keep the next from being done."""
    try:
        yield from step
    except Exception as error:
        if is_outside(error):
            raise
        logger.exception("A step of the comparison of project %d failed.", project.id)
        yield Discrepancy(project.id, f"A step of the comparison failed: {reason(error)}.", repaired=False)


def _config_has_changed(context: Context, project: Project, fields: Mapping[str, Any]) -> bool:
    """Store the project's title and labeling config; True if the labeling config has changed."""
    config, title = fields["label_config"], fields["title"]
    if projects.matches(project, config, title):
        return False
    with context.database.write() as session:
        return projects.note(session, project.id, config, title, seed=context.settings.seed)


@contextmanager
def _exclusive(queues: JobQueues) -> Iterator[Callable[[], bool]]:
    """Lock the comparison, breaking the lock of a dead process; yields the function that renews the lock."""
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
