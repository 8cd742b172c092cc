"""Dealing: each of several annotators gets tasks of their own, together always the best ones there are.

A task is in one hand at most. It leaves a hand when it is labelled or skipped, or when it is taken back; what
is taken back rests for `GRACE` before somebody else gets it, and only if nobody turns out to have opened it.
That is what makes it certain that nobody is handed what another has.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf

from ml_backend.assign.distribution import deal, surplus
from ml_backend.queue import kinds
from ml_backend.queue.context import Context
from ml_backend.queue.jobs import job
from ml_backend.score.strategy import made_by
from ml_backend.store import assignments, versions
from ml_backend.store.models import Annotator, Holding, Version, now

GRACE = timedelta(seconds=10)
"""Longer than Label Studio takes, within one request, from choosing a task to locking it."""

IDLE = timedelta(hours=1)
"""Who was not seen for so long gives back what he has not opened, and is dealt to after the others."""

LOCKED = timedelta(hours=24)
"""An open task is somebody's for so long, as long as Label Studio's own locks last."""

RESERVE = 3
"""Tasks that stay in each hand besides the open one while a new version's order is dealt, so that nobody sees
an empty list, not even who only accepts masks while the others rest."""

LINGER_SECONDS = 15.0
"""How long a job stays for what rests. A later one might find the only worker training, and hands would be
left with their reserve for all that time."""

LOOK_SECONDS = 2.0
"""How often it looks meanwhile whether somebody has nothing to open next."""

ALONE_SECONDS = 300
BUSY_SECONDS = 5.0


@job(kinds.ASSIGN)
def assign_tasks(context: Context, project_id: int) -> None:
    """Fill the hands of a project's annotators by the published order; does nothing where there are none."""
    with context.queues.alone(f"deal-{project_id}", ALONE_SECONDS) as alone:
        if not context.is_active(project_id):
            return
        if not alone:
            context.queues.request_assignment(project_id, delay=BUSY_SECONDS)
        elif _deal_until_rested(context, project_id):
            context.queues.request_assignment(project_id, delay=GRACE.total_seconds() + 1)


@dataclass
class Table:
    """Who has what at one moment, and what is left.

    Attributes:
        at: a moment before anything was looked at.
        size: tasks of one hand.
        version: the published version.
        annotators: those who have a view, by address.
        held: {task: address} of tasks to be labelled, also of those who have a view no longer.
        done: {task: address} of reserved tasks that are labelled or skipped.
        opened: tasks to be labelled that are open in some browser.
        ranking: tasks to be labelled, the best first; only as many as may be needed.
        known: what the database knows of tasks.
    """

    at: datetime
    size: int
    version: int
    annotators: dict[str, Annotator]
    held: dict[int, str]
    done: dict[int, str]
    opened: set[int]
    ranking: list[int]
    known: dict[int, Holding]

    @property
    def active(self) -> list[str]:
        """Who works now; all, if nobody does."""
        seen = [email for email, one in self.annotators.items() if one.active_at > self.at - IDLE]
        return seen or list(self.annotators)

    @property
    def reserve(self) -> int:
        """Tasks that stay in each hand while others rest: `RESERVE`, but not most of a small hand."""
        return max(1, min(RESERVE, self.size // 2))

    @property
    def elsewhere(self) -> set[int]:
        """Tasks in no hand that somebody has open."""
        return {task for task, one in self.known.items() if one.email is None and self.is_open(one)}

    @property
    def resting(self) -> set[int]:
        """Tasks that were taken back a moment ago."""
        return {
            task
            for task, one in self.known.items()
            if one.email is None and one.since + GRACE > self.at and not self.is_open(one)
        }

    def is_open(self, holding: Holding) -> bool:
        """Whether somebody has a task open, by a lock or a draft that is not too old to count."""
        return holding.opened_at is not None and holding.opened_at + LOCKED > self.at

    def hand(self, email: str) -> list[int]:
        """What somebody holds, the best first."""
        rank = {task: place for place, task in enumerate(self.ranking)}
        return sorted(
            (task for task, owner in self.held.items() if owner == email),
            key=lambda task: rank.get(task, inf),
        )

    def unopened(self, email: str) -> list[int]:
        """What somebody holds and has not opened, the best first."""
        return [task for task in self.hand(email) if self.known[task].opened_at is None]


def _deal_until_rested(context: Context, project_id: int) -> bool:
    """Deal, and again until no task rests any more; True if one still does after `LINGER_SECONDS`."""
    until = time.monotonic() + LINGER_SECONDS
    while _deal(context, project_id):
        if time.monotonic() > until:
            return True
        time.sleep(LOOK_SECONDS)
    return False


def _deal(context: Context, project_id: int) -> bool:
    """Fill the hands; True if tasks rest that are to be dealt a little later."""
    views = context.label_studio.annotators(project_id)
    with context.database.write() as session:
        former = {one.email for one in assignments.annotators(session, project_id)}
        former |= {one.email for one in assignments.holdings(session, project_id).values() if one.email}
        if views or former:
            assignments.set_annotators(session, project_id, views)
        version = versions.published(session, project_id)
    if version is None or not (views or former):
        return False
    table = _look(context, version, sorted({*views, *former}))
    _clear(context, project_id, table)
    _take_back(context, table, outdated(table))
    given = plan(table)
    if given:
        _give(context, project_id, table, given)
    elif not table.resting:
        _take_back(context, table, surplus_of(table))
    return bool(table.resting)


def _look(context: Context, version: Version, emails: list[str]) -> Table:
    """Read who has what from Label Studio, and bring what the database knows of it up to date."""
    studio, at, project_id = context.label_studio, now(), version.project_id
    seen = {email: studio.hand(project_id, email) for email in emails}
    opened = studio.opened(project_id)
    with context.database.write() as session:
        annotators = {one.email: one for one in assignments.annotators(session, project_id)}
        known = assignments.holdings(session, project_id)
        size = context.settings.hand_size
        table = Table(at, size, version.id, annotators, {}, {}, opened, [], known)
        for email, hand in seen.items():
            table.held |= dict.fromkeys(hand.waiting, email)
            table.done |= dict.fromkeys(hand.done, email)
        _note(table, project_id)
        session.add_all(known.values())
    length = len(annotators) * size + len(table.held) + len(known) + len(opened)
    highest_first = made_by(version).highest_first
    shown = studio.ordered_scores(project_id, max(length, 1), highest_first=highest_first)
    table.ranking = [task for task, _ in shown]
    return table


def _note(table: Table, project_id: int) -> None:
    """Bring the holdings in line with what Label Studio shows: its reservations are the truth."""
    for task in table.held.keys() | table.opened | table.known.keys():
        holding = table.known.get(task)
        email = table.held.get(task)
        if holding is None:
            holding = Holding(project_id=project_id, task_id=task, email=email, since=table.at)
            table.known[task] = holding
        elif holding.email != email:
            holding.email, holding.since = email, now()
        if task not in table.opened:
            holding.opened_at = None
        elif holding.opened_at is None:
            holding.opened_at = table.at
            if email in table.annotators:
                table.annotators[email].active_at = table.at
    for email in set(table.done.values()) & table.annotators.keys():
        table.annotators[email].active_at = table.at


def _clear(context: Context, project_id: int, table: Table) -> None:
    """Forget tasks that are labelled, and those that have rested."""
    for task, email in table.done.items():
        context.label_studio.release(task, email)
    nobodys = {task for task, holding in table.known.items() if holding.email is None}
    rested = nobodys - table.opened - table.resting
    _forget(context, project_id, table, rested | table.done.keys())


def _forget(context: Context, project_id: int, table: Table, tasks: Iterable[int]) -> None:
    chosen = set(tasks)
    with context.database.write() as session:
        assignments.forget(session, project_id, chosen)
    for task in chosen & table.known.keys():
        del table.known[task]


def outdated(table: Table) -> list[int]:
    """Tasks to be taken back: not opened, and dealt by an older order, or to somebody who is not there."""
    found = []
    for email in dict.fromkeys(table.held.values()):
        stays = table.reserve
        for task in table.hand(email):
            holding = table.known[task]
            if table.is_open(holding):
                continue
            if (
                holding.opened_at is not None
                or email not in table.annotators
                or (email not in table.active and holding.since + IDLE <= table.at)
            ):
                found.append(task)
            elif holding.version_id != table.version:
                if stays == 0:
                    found.append(task)
                stays = max(stays - 1, 0)
    return found


def surplus_of(table: Table) -> list[int]:
    """What fuller hands give for those who work and hold nothing, once nothing is left to be dealt."""
    full = {email: table.hand(email) for email in table.annotators}
    if all(full[email] for email in table.active):
        return []
    spare = {
        email: [task for task in tasks if table.known[task].opened_at is None]
        for email, tasks in full.items()
    }
    return surplus(full, spare)[1]


def _take_back(context: Context, table: Table, tasks: list[int]) -> None:
    """Take tasks out of their hands; they rest from the moment when no view shows them any more."""
    for task in tasks:
        context.label_studio.release(task, table.held.pop(task))
    with context.database.write() as session:
        for task in tasks:
            holding = table.known[task]
            holding.email, holding.since = None, now()
            session.merge(holding)


def plan(table: Table) -> dict[int, str]:
    """Who gets what: those who work the best, the others what comes after.

    While tasks rest that have just been taken back, only those who have nothing to open next get something:
    the others wait, so that the best ones are dealt together.
    """
    active, resting, elsewhere = table.active, table.resting, table.elsewhere
    free = [task for task in table.ranking if task not in resting and task not in elsewhere]
    if resting:
        hungry = [email for email in active if not table.unopened(email)]
        return deal([task for task in free if task not in table.held], {}, hungry, table.reserve)
    away = [email for email in table.annotators if email not in active]
    near = [task for task in free if table.held.get(task) in (None, *active)]
    given = deal(near, table.held, active, table.size)
    taken = set(near[: len(active) * table.size])
    far = [task for task in free if task not in taken and table.held.get(task) in (None, *away)]
    return given | deal(far, table.held, away, table.size)


def _give(context: Context, project_id: int, table: Table, given: dict[int, str]) -> None:
    """Put tasks into hands, the database first: what only stands there is taken back the next time."""
    with context.database.write() as session:
        # Should another job deal at the same time after all, each task is given by one of them.
        others = {
            task for task, holding in assignments.holdings(session, project_id).items() if holding.email
        }
        given = {task: email for task, email in given.items() if task not in others}
        for task, email in given.items():
            holding = Holding(project_id=project_id, task_id=task, email=email, version_id=table.version)
            # A lock that is too old to count becomes this one's.
            holding.since, holding.opened_at = now(), None
            session.merge(holding)
        for task, email in table.held.items():
            if email in table.annotators:
                holding = table.known[task]
                holding.version_id = table.version
                session.merge(holding)
    context.label_studio.reserve(project_id, given)
