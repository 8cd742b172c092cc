"""Stores Label Studio's events and requests the jobs that they need, in batches under load."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

from redis.exceptions import RedisError
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from ml_backend.learn.trigger import consider
from ml_backend.queue import kinds
from ml_backend.queue.kinds import JobKind
from ml_backend.queue.queues import JobQueues
from ml_backend.settings import Settings
from ml_backend.store import assignments, events, labels_seen, projects
from ml_backend.store.database import Database

logger = logging.getLogger(__name__)

Item = TypeVar("Item")


@dataclass(frozen=True)
class Arrival:
    """An event as the webhook received it.

    Attributes:
        project_id, title, label_config: the project; title and config are None where the event has none.
        action: Label Studio's name of the event.
        task_ids: the tasks it is about.
        changes: names of the annotations that were created, changed or deleted.
        jobs: kinds of jobs that it may need, besides the first order of a new project.
    """

    project_id: int
    action: str
    title: str | None = None
    label_config: str | None = None
    task_ids: tuple[int, ...] = ()
    changes: tuple[str, ...] = ()
    jobs: tuple[JobKind, ...] = ()


@dataclass(eq=False)
class _Waiting:
    arrival: Arrival
    done: bool = False
    error: Exception | None = None


@dataclass(frozen=True)
class Inbox:
    """Writes events to the database and requests their jobs; safe to use from any number of threads.

    Group commit: each thread queues its event and waits for the lock; whoever gets it writes all queued
    events in one transaction, and the others find theirs written. Jobs are requested in a separate thread, so
    that no answer waits for Redis, which may be slow or down.
    """

    settings: Settings
    database: Database
    queues: JobQueues
    _waiting: deque[_Waiting] = field(default_factory=deque, init=False)
    _writing: threading.Lock = field(default_factory=threading.Lock, init=False)
    _requests: deque[tuple[JobKind, int]] = field(default_factory=deque, init=False)
    _requester: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1), init=False)

    def take(self, arrival: Arrival) -> None:
        """Write an event, and return once it is committed; its jobs are requested right after that.

        Without a password, an event of an unknown project only has Label Studio asked for the project. If it
        exists, the comparison that follows finds what the event told of.

        Raises the database's error, such as `sqlalchemy.exc.OperationalError`, if it cannot be written.
        """
        if self.settings.basic_auth is None and not self._is_known(arrival.project_id):
            self._requests.append((kinds.CONFIRM, arrival.project_id))
            self._requester.submit(self._request_jobs)
            return
        waiting = _Waiting(arrival)
        self._waiting.append(waiting)
        with self._writing:
            if not waiting.done:
                self._write_waiting()
        if waiting.error is not None:
            raise waiting.error

    def _is_known(self, project_id: int) -> bool:
        with self.database.read() as session:
            return projects.get(session, project_id) is not None

    def compare(self) -> None:
        """Have all projects compared with Label Studio, after an event that could not be read."""
        self._requests.append((kinds.RECONCILE, 0))
        self._requester.submit(self._request_jobs)

    def settle(self) -> None:
        """Wait until the jobs of all events taken so far have been requested."""
        self._requester.submit(self._request_jobs).result()

    def _write_waiting(self) -> None:
        batch = _drain(self._waiting)
        try:
            self._write(batch)
        except Exception:  # noqa: BLE001
            # An event that cannot be written must not keep the others from being written.
            for waiting in batch:
                self._write_alone(waiting)
        for waiting in batch:
            waiting.done = True

    def _write_alone(self, waiting: _Waiting) -> None:
        try:
            self._write([waiting])
        except Exception as error:  # noqa: BLE001
            # The thread that queued the event raises it.
            waiting.error = error

    def _write(self, batch: Sequence[_Waiting]) -> None:
        requests: list[tuple[JobKind, int]] = []
        arrivals = [waiting.arrival for waiting in batch]
        with self.database.write() as session:
            for arrival in _news(arrivals):
                if projects.note(
                    session, arrival.project_id, arrival.label_config, arrival.title, seed=self.settings.seed
                ):
                    requests.append((kinds.ORDER, arrival.project_id))
            # No query between the events, which would write each of them alone.
            lost = [_labels_lost(session, arrival) for arrival in arrivals]
            for arrival, names in zip(arrivals, lost, strict=True):
                events.add(
                    session,
                    arrival.project_id,
                    arrival.action,
                    task_ids=arrival.task_ids,
                    changes=[*arrival.changes, *names],
                )
                requests.extend((job, arrival.project_id) for job in arrival.jobs)
        if requests:
            self._requests.extend(requests)
            self._requester.submit(self._request_jobs)

    def _request_jobs(self) -> None:
        try:
            for job, project_id in dict.fromkeys(_drain(self._requests)):
                if job is kinds.ORDER:
                    self.queues.request_order(project_id)
                elif job is kinds.SCORE_NEW:
                    self.queues.request_score_new(project_id)
                elif job is kinds.CONFIRM:
                    self.queues.request_confirmation(project_id)
                elif job is kinds.RECONCILE:
                    self.queues.request_reconcile()
                elif job is kinds.ASSIGN:
                    self._request_assignment(project_id)
                else:
                    consider(self.database, self.queues, self.settings, project_id)
        except (RedisError, SQLAlchemyError):
            # The events are stored: the next one, or a worker, requests their jobs.
            logger.warning(
                "The jobs for new events cannot be requested now; they are delayed.", exc_info=True
            )

    def _request_assignment(self, project_id: int) -> None:
        with self.database.read() as session:
            needed = assignments.are_needed(session, project_id)
        if needed:
            self.queues.request_assignment(project_id)


def _drain(items: deque[Item]) -> list[Item]:
    return [items.popleft() for _ in range(len(items))]


def _news(arrivals: Sequence[Arrival]) -> Iterator[Arrival]:
    """The arrivals whose project title or labeling config differs from the previous arrival's."""
    said: dict[int, tuple[str | None, str | None]] = {}
    for arrival in arrivals:
        says = arrival.label_config, arrival.title
        if said.get(arrival.project_id) != says:
            said[arrival.project_id] = says
            yield arrival


def _labels_lost(session: Session, arrival: Arrival) -> list[str]:
    """Change names (`task:ID`) of the labelled tasks that the event deletes; empty for other events."""
    if arrival.action != "TASKS_DELETED":
        return []
    return [
        f"task:{task}" for task in labels_seen.labelled_tasks(session, arrival.project_id, arrival.task_ids)
    ]
