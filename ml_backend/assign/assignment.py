"""Assignment: each of several annotators gets tasks of their own, and together they get the best ones.

A task is assigned to at most one annotator until it is labelled, skipped or taken back. A task that was taken
back is assigned again only after a cooldown, and only if nobody has opened it meanwhile. So no two annotators
ever get the same task.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import datetime

from ml_backend.assign.distribution import COOLDOWN, Snapshot, outdated, plan, surplus_of
from ml_backend.items import contained
from ml_backend.queue import kinds
from ml_backend.queue.context import Context
from ml_backend.queue.jobs import job
from ml_backend.score.batch import next_tasks, refresh_batch
from ml_backend.score.strategy import order_of
from ml_backend.store import assignments, versions
from ml_backend.store.clock import seconds_until
from ml_backend.store.models import Assignment, Version, now

logger = logging.getLogger(__name__)

LOCK_SECONDS = 300
"""How long one job may keep others from assigning tasks of the same project."""

BUSY_SECONDS = 5.0
"""Delay of the next request if another job is assigning tasks of the same project."""


@job(kinds.ASSIGN)
def assign_tasks(context: Context, project_id: int) -> None:
    """Refill a project's batch, if its view shows one, and assign tasks to the annotators who have a view.

    Both follow the published order.
    """
    with context.queues.locks.exclusive(f"assign-{project_id}", LOCK_SECONDS) as exclusive:
        if not context.is_active(project_id):
            return
        if not exclusive:
            context.queues.request_assignment(project_id, delay=BUSY_SECONDS)
            return
        with context.database.read() as session:
            version = versions.published(session, project_id)
        if version is not None:
            refresh_batch(context, version)
        cooled_down = _assign(context, project_id, version)
        if cooled_down is not None:
            context.queues.request_assignment(project_id, delay=seconds_until(cooled_down, COOLDOWN))


def _assign(context: Context, project_id: int, version: Version | None) -> datetime | None:
    """Assign tasks to all annotators; returns when the first task that is cooling down can be assigned."""
    views = context.label_studio.annotators(project_id)
    with context.database.write() as session:
        former = {one.email for one in assignments.annotators(session, project_id)}
        former |= {one.email for one in assignments.by_task(session, project_id).values() if one.email}
        if views or former:
            assignments.set_annotators(session, project_id, views)
    if version is None or not (views or former):
        return None
    snapshot = _take_snapshot(context, version, sorted({*views, *former}))
    _clear(context, project_id, snapshot)
    _take_back(context, snapshot, outdated(snapshot))
    given = plan(snapshot)
    if given:
        _give(context, project_id, snapshot, given)
    elif not snapshot.cooling_down:
        _take_back(context, snapshot, surplus_of(snapshot))
    since = [snapshot.known[task].since for task in snapshot.cooling_down]
    return min(since) + COOLDOWN if since else None


def _take_snapshot(context: Context, version: Version, emails: list[str]) -> Snapshot:
    """Read the assignments from Label Studio, and update those in the database."""
    studio, at, project_id = context.label_studio, now(), version.project_id
    seen = {email: studio.assigned(project_id, email) for email in emails}
    opened = studio.opened(project_id)
    with context.database.write() as session:
        annotators = {one.email: one for one in assignments.annotators(session, project_id)}
        known = assignments.by_task(session, project_id)
        size = context.settings.assignment_size
        snapshot = Snapshot(at, size, version.id, annotators, {}, {}, opened, [], known)
        for email, tasks in seen.items():
            snapshot.assigned |= dict.fromkeys(tasks.waiting, email)
            snapshot.done |= dict.fromkeys(tasks.done, email)
        _update_known(snapshot, project_id)
        session.add_all(known.values())
    length = len(annotators) * size + len(snapshot.assigned) + len(known) + len(opened)
    order = order_of(version)
    if order.batch:
        snapshot.ranking = next_tasks(context, version, length)
    else:
        shown = studio.ordered_scores(project_id, max(length, 1), highest_first=order.highest_first)
        snapshot.ranking = [task for task, _ in shown]
    return snapshot


def _update_known(snapshot: Snapshot, project_id: int) -> None:
    """Update the database's assignments from Label Studio's reservations, which are authoritative."""
    for task in snapshot.assigned.keys() | snapshot.opened | snapshot.known.keys():
        assignment = snapshot.known.get(task)
        email = snapshot.assigned.get(task)
        if assignment is None:
            assignment = Assignment(project_id=project_id, task_id=task, email=email, since=snapshot.at)
            snapshot.known[task] = assignment
        elif assignment.email != email:
            assignment.email, assignment.since = email, now()
        if task not in snapshot.opened:
            assignment.opened_at = None
        elif assignment.opened_at is None:
            assignment.opened_at = snapshot.at
            if email in snapshot.annotators:
                snapshot.annotators[email].active_at = snapshot.at
    for email in set(snapshot.done.values()) & snapshot.annotators.keys():
        snapshot.annotators[email].active_at = snapshot.at


def _clear(context: Context, project_id: int, snapshot: Snapshot) -> None:
    """Forget tasks that are labelled or skipped, and unassigned tasks whose cooldown is over."""
    for task, email in snapshot.done.items():
        with contained(f"The reservation of task {task}", logger.warning):
            context.label_studio.unassign(task, email)
    unassigned = {task for task, assignment in snapshot.known.items() if assignment.email is None}
    cooled_down = unassigned - snapshot.opened - snapshot.cooling_down
    _forget(context, project_id, snapshot, cooled_down | snapshot.done.keys())


def _forget(context: Context, project_id: int, snapshot: Snapshot, tasks: Iterable[int]) -> None:
    chosen = set(tasks)
    with context.database.write() as session:
        assignments.forget(session, project_id, chosen)
    for task in chosen & snapshot.known.keys():
        del snapshot.known[task]


def _take_back(context: Context, snapshot: Snapshot, tasks: list[int]) -> None:
    """Unassign tasks; their cooldown begins once no view shows them any more."""
    taken: list[int] = []
    for task in tasks:
        with contained(f"The reservation of task {task}", logger.warning):
            context.label_studio.unassign(task, snapshot.assigned.pop(task))
            taken.append(task)
    with context.database.write() as session:
        for task in taken:
            assignment = snapshot.known[task]
            assignment.email, assignment.since = None, now()
            session.merge(assignment)


def _give(context: Context, project_id: int, snapshot: Snapshot, given: dict[int, str]) -> None:
    """Assign tasks, first in the database; an assignment that exists only there is undone by the next job."""
    with context.database.write() as session:
        # If another job runs at the same time after all, only one of them assigns a task.
        others = {
            task for task, assignment in assignments.by_task(session, project_id).items() if assignment.email
        }
        given = {task: email for task, email in given.items() if task not in others}
        for task, email in given.items():
            assignment = Assignment(
                project_id=project_id, task_id=task, email=email, version_id=snapshot.version
            )
            # An expired lock must not make the new assignment look open.
            assignment.since, assignment.opened_at = now(), None
            session.merge(assignment)
        for task, email in snapshot.assigned.items():
            if email in snapshot.annotators:
                assignment = snapshot.known[task]
                assignment.version_id = snapshot.version
                session.merge(assignment)
    context.label_studio.assign(project_id, given)
