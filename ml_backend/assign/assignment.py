"""Assignment: each of several annotators gets tasks of their own, together always the best ones there are.

A task is assigned to one annotator at most, until it is labelled, skipped or taken back. A task that was
taken back rests for `GRACE` before somebody else gets it, and only if nobody has opened it meanwhile. So no
two annotators ever get the same task.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf

from ml_backend.assign.distribution import distribute, surplus
from ml_backend.queue import kinds
from ml_backend.queue.context import Context
from ml_backend.queue.jobs import job
from ml_backend.score.strategy import made_by
from ml_backend.store import assignments, versions
from ml_backend.store.models import Annotator, Assignment, Version, now

GRACE = timedelta(seconds=10)
"""Longer than Label Studio takes, within one request, from choosing a task to locking it."""

IDLE = timedelta(hours=1)
"""An annotator not seen for this long loses the tasks not yet opened, and gets tasks after the others."""

LOCKED = timedelta(hours=24)
"""How long an open task belongs to whoever opened it: as long as Label Studio's own locks last."""

RESERVE = 3
"""Tasks that stay with each annotator, besides the open one, while tasks are assigned by a new order. Nobody
then sees an empty list, not even an annotator who only accepts masks while the other tasks rest."""

LINGER_SECONDS = 15.0
"""How long a job waits for resting tasks. A later job might find the only worker training, and annotators
would have only their reserve for all that time."""

LOOK_SECONDS = 2.0
"""How often it checks meanwhile whether an annotator has nothing to open next."""

ALONE_SECONDS = 300
BUSY_SECONDS = 5.0


@job(kinds.ASSIGN)
def assign_tasks(context: Context, project_id: int) -> None:
    """Assign tasks to a project's annotators by the published order; does nothing where there are none."""
    with context.queues.alone(f"assign-{project_id}", ALONE_SECONDS) as alone:
        if not context.is_active(project_id):
            return
        if not alone:
            context.queues.request_assignment(project_id, delay=BUSY_SECONDS)
        elif _assign_until_rested(context, project_id):
            context.queues.request_assignment(project_id, delay=GRACE.total_seconds() + 1)


@dataclass
class Snapshot:
    """Who has which task at one moment, and what is left.

    Attributes:
        at: a moment before anything was looked at.
        size: tasks assigned to each annotator.
        version: the published version.
        annotators: those who have a view, by address.
        assigned: {task: address} of tasks to be labelled, former annotators included.
        done: {task: address} of assigned tasks that are labelled or skipped.
        opened: tasks to be labelled that are open in some browser.
        ranking: tasks to be labelled, the best first; only as many as may be needed.
        known: what the database knows of tasks.
    """

    at: datetime
    size: int
    version: int
    annotators: dict[str, Annotator]
    assigned: dict[int, str]
    done: dict[int, str]
    opened: set[int]
    ranking: list[int]
    known: dict[int, Assignment]

    @property
    def active(self) -> list[str]:
        """The annotators who work now; all, if nobody does."""
        seen = [email for email, one in self.annotators.items() if one.active_at > self.at - IDLE]
        return seen or list(self.annotators)

    @property
    def reserve(self) -> int:
        """Tasks that stay with each annotator while others rest: `RESERVE`, but at most half of `size`."""
        return max(1, min(RESERVE, self.size // 2))

    @property
    def elsewhere(self) -> set[int]:
        """Tasks that are open somewhere and assigned to nobody."""
        return {task for task, one in self.known.items() if one.email is None and self.is_open(one)}

    @property
    def resting(self) -> set[int]:
        """Tasks that were taken back a moment ago."""
        return {
            task
            for task, one in self.known.items()
            if one.email is None and one.since + GRACE > self.at and not self.is_open(one)
        }

    def is_open(self, assignment: Assignment) -> bool:
        """Whether somebody has a task open, by a lock or a draft that is not too old to count."""
        return assignment.opened_at is not None and assignment.opened_at + LOCKED > self.at

    def tasks_of(self, email: str) -> list[int]:
        """An annotator's tasks, the best first."""
        rank = {task: place for place, task in enumerate(self.ranking)}
        return sorted(
            (task for task, owner in self.assigned.items() if owner == email),
            key=lambda task: rank.get(task, inf),
        )

    def unopened(self, email: str) -> list[int]:
        """An annotator's tasks that are not opened yet, the best first."""
        return [task for task in self.tasks_of(email) if self.known[task].opened_at is None]


def _assign_until_rested(context: Context, project_id: int) -> bool:
    """Assign, and again until no task rests; True if one still does after `LINGER_SECONDS`."""
    until = time.monotonic() + LINGER_SECONDS
    while _assign(context, project_id):
        if time.monotonic() > until:
            return True
        time.sleep(LOOK_SECONDS)
    return False


def _assign(context: Context, project_id: int) -> bool:
    """Assign tasks to all annotators; True if tasks rest that can be assigned a little later."""
    views = context.label_studio.annotators(project_id)
    with context.database.write() as session:
        former = {one.email for one in assignments.annotators(session, project_id)}
        former |= {one.email for one in assignments.by_task(session, project_id).values() if one.email}
        if views or former:
            assignments.set_annotators(session, project_id, views)
        version = versions.published(session, project_id)
    if version is None or not (views or former):
        return False
    snapshot = _look(context, version, sorted({*views, *former}))
    _clear(context, project_id, snapshot)
    _take_back(context, snapshot, outdated(snapshot))
    given = plan(snapshot)
    if given:
        _give(context, project_id, snapshot, given)
    elif not snapshot.resting:
        _take_back(context, snapshot, surplus_of(snapshot))
    return bool(snapshot.resting)


def _look(context: Context, version: Version, emails: list[str]) -> Snapshot:
    """Read the assignments from Label Studio, and bring those in the database up to date."""
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
        _note(snapshot, project_id)
        session.add_all(known.values())
    length = len(annotators) * size + len(snapshot.assigned) + len(known) + len(opened)
    highest_first = made_by(version).highest_first
    shown = studio.ordered_scores(project_id, max(length, 1), highest_first=highest_first)
    snapshot.ranking = [task for task, _ in shown]
    return snapshot


def _note(snapshot: Snapshot, project_id: int) -> None:
    """Bring the by_task in line with what Label Studio shows: its reservations are the truth."""
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
    """Forget tasks that are labelled, and those that have rested."""
    for task, email in snapshot.done.items():
        context.label_studio.unassign(task, email)
    nobodys = {task for task, assignment in snapshot.known.items() if assignment.email is None}
    rested = nobodys - snapshot.opened - snapshot.resting
    _forget(context, project_id, snapshot, rested | snapshot.done.keys())


def _forget(context: Context, project_id: int, snapshot: Snapshot, tasks: Iterable[int]) -> None:
    chosen = set(tasks)
    with context.database.write() as session:
        assignments.forget(session, project_id, chosen)
    for task in chosen & snapshot.known.keys():
        del snapshot.known[task]


def outdated(snapshot: Snapshot) -> list[int]:
    """Tasks to take back: not opened, and assigned by an older order or to somebody who is away."""
    found = []
    for email in dict.fromkeys(snapshot.assigned.values()):
        stays = snapshot.reserve
        for task in snapshot.tasks_of(email):
            assignment = snapshot.known[task]
            if snapshot.is_open(assignment):
                continue
            if (
                assignment.opened_at is not None
                or email not in snapshot.annotators
                or (email not in snapshot.active and assignment.since + IDLE <= snapshot.at)
            ):
                found.append(task)
            elif assignment.version_id != snapshot.version:
                if stays == 0:
                    found.append(task)
                stays = max(stays - 1, 0)
    return found


def surplus_of(snapshot: Snapshot) -> list[int]:
    """Tasks to take back for annotators who work and have none, once no free task is left."""
    full = {email: snapshot.tasks_of(email) for email in snapshot.annotators}
    if all(full[email] for email in snapshot.active):
        return []
    spare = {
        email: [task for task in tasks if snapshot.known[task].opened_at is None]
        for email, tasks in full.items()
    }
    return surplus(full, spare)[1]


def _take_back(context: Context, snapshot: Snapshot, tasks: list[int]) -> None:
    """Take tasks back; they rest from the moment when no view shows them any more."""
    for task in tasks:
        context.label_studio.unassign(task, snapshot.assigned.pop(task))
    with context.database.write() as session:
        for task in tasks:
            assignment = snapshot.known[task]
            assignment.email, assignment.since = None, now()
            session.merge(assignment)


def plan(snapshot: Snapshot) -> dict[int, str]:
    """Who gets which task: annotators who work get the best ones, the others what follows.

    While tasks rest that were just taken back, only annotators with nothing to open next get tasks. The
    others wait, so that the best ones are distributed together.
    """
    active, resting, elsewhere = snapshot.active, snapshot.resting, snapshot.elsewhere
    free = [task for task in snapshot.ranking if task not in resting and task not in elsewhere]
    if resting:
        hungry = [email for email in active if not snapshot.unopened(email)]
        return distribute(
            [task for task in free if task not in snapshot.assigned], {}, hungry, snapshot.reserve
        )
    away = [email for email in snapshot.annotators if email not in active]
    near = [task for task in free if snapshot.assigned.get(task) in (None, *active)]
    given = distribute(near, snapshot.assigned, active, snapshot.size)
    taken = set(near[: len(active) * snapshot.size])
    far = [task for task in free if task not in taken and snapshot.assigned.get(task) in (None, *away)]
    return given | distribute(far, snapshot.assigned, away, snapshot.size)


def _give(context: Context, project_id: int, snapshot: Snapshot, given: dict[int, str]) -> None:
    """Assign tasks, in the database first: what is only there is taken back the next time."""
    with context.database.write() as session:
        # Should another job run at the same time after all, only one of them assigns a task.
        others = {
            task for task, assignment in assignments.by_task(session, project_id).items() if assignment.email
        }
        given = {task: email for task, email in given.items() if task not in others}
        for task, email in given.items():
            assignment = Assignment(
                project_id=project_id, task_id=task, email=email, version_id=snapshot.version
            )
            # A lock that is too old to count becomes this one's.
            assignment.since, assignment.opened_at = now(), None
            session.merge(assignment)
        for task, email in snapshot.assigned.items():
            if email in snapshot.annotators:
                assignment = snapshot.known[task]
                assignment.version_id = snapshot.version
                session.merge(assignment)
    context.label_studio.assign(project_id, given)
