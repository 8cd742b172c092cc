"""Webhook events: written at once, consumed by the training that takes them in."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import Session

from ml_backend.store.models import Event, RunState, TrainingRun, now

START_TRAINING = "START_TRAINING"
MISSED = "MISSED"
"""Changes that reconciling found and no webhook told of."""
WEIGHTS_LOST = "WEIGHTS_LOST"
"""The published version's weights are gone: a reason to train."""


@dataclass(frozen=True)
class Pending:
    """What no finished training took in: distinct changes, when the last came, whether one was asked for.

    `fresh` tells whether any of it came after the last attempt, for what has failed is not tried again and
    again without a new reason.
    """

    changes: int
    last_at: datetime | None
    asked: bool
    fresh: bool

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
    """What no finished training of the project has taken in yet."""
    rows = session.execute(
        select(Event.action, Event.changes, Event.created_at, Event.consumed_by_run).where(
            _waiting(project_id)
        )
    ).all()
    relevant = [row for row in rows if row.changes or row.action == START_TRAINING]
    return Pending(
        changes=len({change for row in relevant for change in row.changes}),
        last_at=max((row.created_at for row in relevant), default=None),
        asked=any(row.action == START_TRAINING for row in relevant),
        fresh=any(row.consumed_by_run is None for row in relevant),
    )


def was_asked_for(session: Session, run_id: int) -> bool:
    """Whether a training was wanted with the labels as they are: by "Start training", or for lost weights."""
    wishes = Event.action.in_((START_TRAINING, WEIGHTS_LOST))
    asked = select(Event.id).where(Event.consumed_by_run == run_id, wishes)
    return session.scalars(asked.limit(1)).first() is not None


def pending_changes(session: Session, project_id: int) -> set[str]:
    """Names of all changes that no finished training of the project has taken in yet."""
    rows = session.scalars(select(Event.changes).where(_waiting(project_id)))
    return {change for changes in rows for change in changes}


def has_happened(session: Session, project_id: int, action: str, change: str) -> bool:
    """Whether an event of this action and change was ever noted, taken in or not."""
    noted = select(Event.changes).where(Event.project_id == project_id, Event.action == action)
    return any(change in changes for changes in session.scalars(noted))


def consume(session: Session, project_id: int, run_id: int) -> None:
    """Mark all pending events of the project, those of failed runs included, as taken in by the run."""
    session.execute(
        update(Event)
        .where(_waiting(project_id))
        .values(consumed_by_run=run_id)
        .execution_options(synchronize_session=False)
    )


def prune(session: Session, *, older_than: timedelta) -> None:
    """Delete consumed events of the past."""
    session.execute(
        delete(Event).where(Event.consumed_by_run.is_not(None), Event.created_at < now() - older_than)
    )


def _waiting(project_id: int) -> ColumnElement[bool]:
    """Events that no run took in, or only runs that failed."""
    failed = select(TrainingRun.id).where(
        TrainingRun.project_id == project_id, TrainingRun.state == RunState.FAILED
    )
    return (Event.project_id == project_id) & (
        Event.consumed_by_run.is_(None) | Event.consumed_by_run.in_(failed)
    )
