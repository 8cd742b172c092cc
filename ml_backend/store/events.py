"""Webhook events: stored when they arrive, consumed by the training that takes them into account."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, delete, select, update
from sqlalchemy.orm import Session

from ml_backend.store.models import Event, RunState, TrainingRun, now

START_TRAINING = "START_TRAINING"
CONTINUE_TRAINING = "CONTINUE_TRAINING"
"""Action noted when a training's seconds were over before it converged, which triggers the next one."""
MISSED = "MISSED"
"""Action of changes that reconciling found and no webhook reported."""
WEIGHTS_LOST = "WEIGHTS_LOST"
"""Action noted when the published version's weights are missing from the store, which triggers a training."""


@dataclass(frozen=True)
class Pending:
    """What no finished training has taken into account.

    Attributes:
        changes: number of distinct changes.
        last_at: when the latest event arrived.
        requested: whether "Start training" was pressed, or the last training is to be continued.
        fresh: whether any event arrived after the last attempt. Without one, a failed training is not
            repeated.
    """

    changes: int
    last_at: datetime | None
    requested: bool
    fresh: bool

    def __bool__(self) -> bool:
        return self.changes > 0 or self.requested


_REQUESTS = (START_TRAINING, CONTINUE_TRAINING)


def add(
    session: Session,
    project_id: int,
    action: str,
    *,
    task_ids: Sequence[int] = (),
    changes: Sequence[str] = (),
) -> Event:
    """Store an event of a known project; `changes` names what changed, as in "annotation:3" or "task:5"."""
    event = Event(project_id=project_id, action=action, task_ids=list(task_ids), changes=list(changes))
    session.add(event)
    return event


def pending(session: Session, project_id: int) -> Pending:
    """The project's events that no finished training has taken into account."""
    rows = session.execute(
        select(Event.action, Event.changes, Event.created_at, Event.consumed_by_run).where(
            _is_pending(project_id)
        )
    ).all()
    relevant = [row for row in rows if row.changes or row.action in _REQUESTS]
    return Pending(
        changes=len({change for row in relevant for change in row.changes}),
        last_at=max((row.created_at for row in relevant), default=None),
        requested=any(row.action in _REQUESTS for row in relevant),
        fresh=any(row.consumed_by_run is None for row in relevant),
    )


@dataclass(frozen=True)
class Round:
    """What a running training has taken into account.

    Attributes:
        changes: number of distinct changes.
        last_at: when the latest of its events arrived.
    """

    changes: int
    last_at: datetime | None


def of_run(session: Session, run_id: int) -> Round:
    """The changes that a run has consumed."""
    query = select(Event.changes, Event.created_at).where(Event.consumed_by_run == run_id)
    rows = [row for row in session.execute(query) if row.changes]
    return Round(
        len({change for row in rows for change in row.changes}),
        max((row.created_at for row in rows), default=None),
    )


def was_asked_for(session: Session, run_id: int) -> bool:
    """Whether a run must train even if no label changed.

    That is so after "Start training", for a training that is continued, and if the weights were lost.
    """
    triggers = Event.action.in_((*_REQUESTS, WEIGHTS_LOST))
    consumed = select(Event.id).where(Event.consumed_by_run == run_id, triggers)
    return session.scalars(consumed.limit(1)).first() is not None


def only_continues(session: Session, run_id: int) -> bool:
    """Whether a run only continues the one before it: neither a label nor a person asks for it."""
    query = select(Event.action, Event.changes).where(Event.consumed_by_run == run_id)
    rows = session.execute(query).all()
    others = (START_TRAINING, WEIGHTS_LOST)
    return any(row.action == CONTINUE_TRAINING for row in rows) and not any(
        row.changes or row.action in others for row in rows
    )


def pending_changes(session: Session, project_id: int) -> set[str]:
    """Names of the project's changes that no finished training has taken into account."""
    rows = session.scalars(select(Event.changes).where(_is_pending(project_id)))
    return {change for changes in rows for change in changes}


def has_happened(session: Session, project_id: int, action: str, change: str) -> bool:
    """Whether an event with this action and change was ever stored, consumed or not."""
    noted = select(Event.changes).where(Event.project_id == project_id, Event.action == action)
    return any(change in changes for changes in session.scalars(noted))


def consume(session: Session, project_id: int, run_id: int) -> None:
    """Mark all pending events of the project, those of failed runs included, as consumed by the run."""
    session.execute(
        update(Event)
        .where(_is_pending(project_id))
        .values(consumed_by_run=run_id)
        .execution_options(synchronize_session=False)
    )


def prune(session: Session, *, older_than: timedelta) -> None:
    """Delete consumed events that are older than `older_than`."""
    session.execute(
        delete(Event).where(Event.consumed_by_run.is_not(None), Event.created_at < now() - older_than)
    )


def _is_pending(project_id: int) -> ColumnElement[bool]:
    """Condition: consumed by no run, or by a failed run."""
    failed = select(TrainingRun.id).where(
        TrainingRun.project_id == project_id, TrainingRun.state == RunState.FAILED
    )
    return (Event.project_id == project_id) & (
        Event.consumed_by_run.is_(None) | Event.consumed_by_run.in_(failed)
    )


def tasks_annotated(session: Session, project_id: int) -> set[int]:
    """Tasks about which an annotation event came that no finished training has taken into account."""
    query = select(Event.task_ids).where(_is_unfinished(project_id), Event.action.like("ANNOTATION%CREATED"))
    return {task for tasks in session.scalars(query) for task in tasks}


def _is_unfinished(project_id: int) -> ColumnElement[bool]:
    """Condition: consumed by no run, or by one that failed or is running."""
    finished = select(TrainingRun.id).where(
        TrainingRun.project_id == project_id, TrainingRun.state == RunState.FINISHED
    )
    return (Event.project_id == project_id) & (
        Event.consumed_by_run.is_(None) | Event.consumed_by_run.not_in(finished)
    )
