"""Who of several annotators has which task."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from ml_backend.store.base import Base, now


class Annotator(Base):
    """One of several annotators of a project, with a view and tasks of their own.

    `active_at` is when the annotator last opened or labelled one of these tasks.
    """

    __tablename__ = "annotators"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    email: Mapped[str] = mapped_column(String(254), primary_key=True)
    active_at: Mapped[datetime] = mapped_column(default=now)


class Assignment(Base):
    """Who has a task, and since when; the reservation itself is a prediction in Label Studio.

    Attributes:
        email: the annotator; None for a task that was taken back and is in its cooldown, and for a task that
            is open in a browser without being assigned.
        since: when `email` was set.
        opened_at: when the task was first seen open in a browser; None while it is not.
        version_id: the version by whose order it was assigned.
    """

    __tablename__ = "holdings"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    task_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    email: Mapped[str | None] = mapped_column(String(254))
    since: Mapped[datetime] = mapped_column(default=now)
    opened_at: Mapped[datetime | None]
    version_id: Mapped[int | None]
