"""What people asked for, and what came of it: the record that the page shows."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String, Text, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from ml_backend.store.base import Base, now
from ml_backend.store.states import ActionKind, ActionState


class Action(Base):
    """What a person asked for: who, when, what, and what came of it.

    Attributes:
        project_id: None for what concerns the whole installation.
        target: the version's name, or the job's; empty if the project itself is meant.
        who: the user name that was sent, or the name of whoever ran the command.
        via: page, api or command.
        outcome: one sentence; empty while it waits.
    """

    __tablename__ = "actions"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int | None] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), index=True)
    kind: Mapped[ActionKind]
    target: Mapped[str] = mapped_column(String(200), default="")
    who: Mapped[str] = mapped_column(String(254))
    via: Mapped[str] = mapped_column(String(16))
    state: Mapped[ActionState] = mapped_column(default=ActionState.WAITING)
    outcome: Mapped[str] = mapped_column(Text, default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    ended_at: Mapped[datetime | None]


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
