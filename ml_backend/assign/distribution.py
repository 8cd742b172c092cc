"""Distribution of tasks among annotators: who has which task, and which to take back and to assign.

Pure functions of a `Snapshot`; `ml_backend.assign.assignment` reads snapshots and carries out the decisions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import inf

from ml_backend.store.clock import TOLERANCE
from ml_backend.store.models import Annotator, Assignment

COOLDOWN = timedelta(seconds=10)
"""How long a task that was taken back stays unassigned. Longer than Label Studio takes, within one request,
from choosing a task to locking it."""

IDLE = timedelta(hours=1)
"""An annotator not seen for this long loses unopened tasks, and gets new ones only after the others."""

LOCKED = timedelta(hours=24)
"""How long an open task belongs to the annotator who opened it; Label Studio's own locks last as long."""

RESERVE = 3
"""Tasks that each annotator keeps, besides the open one, while a new order is being assigned. So nobody sees
an empty list, not even an annotator who only accepts masks during a cooldown."""


@dataclass
class Snapshot:
    """Who has which task at one moment, and which tasks are left.

    Attributes:
        at: a moment before anything was read.
        size: tasks assigned to each annotator.
        version: id of the published version.
        annotators: the annotators who have a view, by address.
        assigned: {task: address} of tasks to be labelled, former annotators included.
        done: {task: address} of assigned tasks that are labelled or skipped.
        opened: tasks to be labelled that are open in a browser.
        ranking: tasks to be labelled, the best first; only as many as may be needed.
        known: the database's assignments by task.
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
        """The annotators who are working; all annotators if nobody is."""
        seen = [email for email, one in self.annotators.items() if one.active_at > self.at - IDLE]
        return seen or list(self.annotators)

    @property
    def reserve(self) -> int:
        """Tasks that each annotator keeps during a cooldown: `RESERVE`, but at most half of `size`."""
        return max(1, min(RESERVE, self.size // 2))

    @property
    def open_unassigned(self) -> set[int]:
        """Tasks that are open in a browser and not assigned to anybody."""
        return {task for task, one in self.known.items() if one.email is None and self.is_open(one)}

    @property
    def cooling_down(self) -> set[int]:
        """Tasks that were taken back less than `COOLDOWN` ago."""
        return {
            task
            for task, one in self.known.items()
            # One that was taken back in the future was so before the clock was set back.
            if one.email is None and -TOLERANCE < self.at - one.since < COOLDOWN and not self.is_open(one)
        }

    def is_open(self, assignment: Assignment) -> bool:
        """Whether somebody has the task open: a lock or a draft that is less than `LOCKED` old."""
        return assignment.opened_at is not None and assignment.opened_at + LOCKED > self.at

    def tasks_of(self, email: str) -> list[int]:
        """An annotator's tasks, the best first."""
        rank = {task: place for place, task in enumerate(self.ranking)}
        return sorted(
            (task for task, owner in self.assigned.items() if owner == email),
            key=lambda task: rank.get(task, inf),
        )

    def unopened(self, email: str) -> list[int]:
        """An annotator's tasks that have not been opened yet, the best first."""
        return [task for task in self.tasks_of(email) if self.known[task].opened_at is None]


def outdated(snapshot: Snapshot) -> list[int]:
    """Tasks to take back: not open, and assigned by an older order or to an annotator who is away."""
    found = []
    for email in dict.fromkeys(snapshot.assigned.values()):
        kept = snapshot.reserve
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
                if kept == 0:
                    found.append(task)
                kept = max(kept - 1, 0)
    return found


def plan(snapshot: Snapshot) -> dict[int, str]:
    """The assignments to make, {task: annotator}: active annotators get the best tasks, the others the next.

    While tasks are cooling down, only annotators without an unopened task get any. The others wait, so that
    the best tasks are distributed together.
    """
    active, cooling_down = snapshot.active, snapshot.cooling_down
    unavailable = cooling_down | snapshot.open_unassigned
    free = [task for task in snapshot.ranking if task not in unavailable]
    if cooling_down:
        waiting = [email for email in active if not snapshot.unopened(email)]
        return distribute(
            [task for task in free if task not in snapshot.assigned], {}, waiting, snapshot.reserve
        )
    away = [email for email in snapshot.annotators if email not in active]
    for_active = [task for task in free if snapshot.assigned.get(task) in (None, *active)]
    given = distribute(for_active, snapshot.assigned, active, snapshot.size)
    taken = set(for_active[: len(active) * snapshot.size])
    for_away = [task for task in free if task not in taken and snapshot.assigned.get(task) in (None, *away)]
    return given | distribute(for_away, snapshot.assigned, away, snapshot.size)


def surplus_of(snapshot: Snapshot) -> list[int]:
    """Tasks to take back for active annotators who have none, to be used when no free task is left."""
    tasks = {email: snapshot.tasks_of(email) for email in snapshot.annotators}
    if all(tasks[email] for email in snapshot.active):
        return []
    return surplus(tasks, {email: snapshot.unopened(email) for email in tasks})[1]


def distribute(
    ranking: Sequence[int], assigned: Mapping[int, str], annotators: Sequence[str], size: int
) -> dict[int, str]:
    """Distribute the best `size` tasks per annotator; returns the new assignments {task: annotator}.

    With n annotators, each run of n tasks gives one task to each of them, as far as existing assignments
    allow; annotators with fewer tasks so far come first. So when everybody has labelled k tasks, together
    they have labelled the best ones. An assigned task stays with its annotator.

    Args:
        ranking: tasks that are free or assigned to one of `annotators`, the best first.
        assigned: {task: annotator} of the tasks already assigned.
        annotators: the annotators to assign tasks to.
        size: number of tasks for each annotator.
    """
    window = ranking[: len(annotators) * size]
    counted: Counter[str] = Counter()
    given: dict[int, str] = {}
    for start in range(0, len(window), max(len(annotators), 1)):
        run = window[start : start + len(annotators)]
        counted.update(assigned[task] for task in run if task in assigned)
        for task in run:
            if task not in assigned:
                given[task] = min(annotators, key=lambda email: counted[email])
                counted[given[task]] += 1
    return given


def surplus(
    assignments: Mapping[str, Sequence[int]], spare: Mapping[str, Sequence[int]]
) -> tuple[str, list[int]]:
    """Choose tasks to take back for annotators who have none, when no free task is left.

    The annotator with the most tasks gives up to half of them (rounded up), the worst of the unopened ones,
    and keeps at least one. Returns that annotator and the tasks; the list is empty if none can be spared.

    Args:
        assignments: all tasks of each annotator.
        spare: the unopened tasks of each annotator, the best first.
    """
    email = max(assignments, key=lambda each: (len(assignments[each]), each))
    most = min((len(assignments[email]) + 1) // 2, len(assignments[email]) - 1, len(spare[email]))
    return email, list(spare[email][len(spare[email]) - most :]) if most > 0 else []
