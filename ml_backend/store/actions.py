"""What people asked for, and what came of it: the record that the page shows."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from ml_backend.store.models import Action, now
from ml_backend.store.states import ActionKind, ActionState


def add(
    session: Session, kind: ActionKind, *, project_id: int | None, target: str, who: str, via: str
) -> Action:
    """Record that somebody asks for something; a request that still waits is not recorded a second time."""
    waiting = select(Action).where(
        Action.kind == kind,
        Action.project_id == project_id,
        Action.target == target,
        Action.state == ActionState.WAITING,
    )
    known = session.scalars(waiting.limit(1)).first()
    if known is not None:
        return known
    action = Action(kind=kind, project_id=project_id, target=target, who=who, via=via)
    session.add(action)
    session.flush()
    return action


def get(session: Session, action_id: int) -> Action | None:
    """The action, or None."""
    return session.get(Action, action_id)


def waiting(session: Session) -> list[int]:
    """Ids of all actions that no worker has done yet, oldest first."""
    query = select(Action.id).where(Action.state == ActionState.WAITING)
    return list(session.scalars(query.order_by(Action.id)))


def recent(session: Session, project_id: int | None = None, *, limit: int = 50) -> list[Action]:
    """The latest actions of a project (of the whole installation if None), newest first."""
    query = select(Action).order_by(Action.id.desc()).limit(limit)
    return list(
        session.scalars(query if project_id is None else query.where(Action.project_id == project_id))
    )


def end(session: Session, action_id: int, state: ActionState, outcome: str) -> None:
    """Record what came of an action."""
    action = session.get_one(Action, action_id)
    action.state, action.outcome, action.ended_at = state, outcome, now()
    session.flush()
