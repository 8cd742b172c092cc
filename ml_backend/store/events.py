"""Webhook events: written at once, consumed by the training that takes them in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from ml_backend.store.models import Event, now

START_TRAINING = "START_TRAINING"


@dataclass(frozen=True)
class Pending:
    """What no training has taken in yet: distinct changes, when the last came, and whether one was asked for."""

    changes: int
    last_at: datetime | None
    asked: bool

    def __bool__(self) -> bool:
        return self.changes > 0 or self.asked


def add(
    session: Session,
    project_id: int,
    action: str,
    *,
    task_ids: Sequence[int] = (),
    changes: Sequence[str] = (),
) -> None:
    """Write one event of a known project; `changes` names what changed, "annotation:3" or "task:5"."""
    session.add(Event(project_id=project_id, action=action, task_ids=list(task_ids), changes=list(changes)))


def pending(session: Session, project_id: int) -> Pending:
    """What no training of the project has taken in yet."""
    rows = session.execute(
        select(Event.action, Event.changes, Event.created_at).where(
            Event.project_id == project_id, Event.consumed_by_run.is_(None)
        )
    ).all()
    relevant = [(changes, at) for action, changes, at in rows if changes or action == START_TRAINING]
    return Pending(
        changes=len({change for changes, _ in relevant for change in changes}),
        last_at=max((at for _, at in relevant), default=None),
        asked=any(action == START_TRAINING for action, _, _ in rows),
    )


def consume(session: Session, project_id: int, run_id: int) -> None:
    """Mark all pending events of the project as taken in by the run."""
    waiting = (Event.project_id == project_id, Event.consumed_by_run.is_(None))
    session.execute(update(Event).where(*waiting).values(consumed_by_run=run_id))


def release(session: Session, run_id: int) -> None:
    """Make the events of a failed run pending again, but not the wish to train: it was tried."""
    session.execute(
        update(Event)
        .where(Event.consumed_by_run == run_id, Event.action != START_TRAINING)
        .values(consumed_by_run=None)
    )


def prune(session: Session, *, older_than: timedelta) -> None:
    """Delete consumed events of the past."""
    session.execute(
        delete(Event).where(Event.consumed_by_run.is_not(None), Event.created_at < now() - older_than)
    )
