"""The projects of Label Studio that are served, and the name of this installation."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import String
from sqlalchemy.orm import Mapped, mapped_column

from ml_backend.store.base import Base, Words, now
from ml_backend.store.states import ProjectState


class Project(Base):
    """A Label Studio project; `id` is Label Studio's.

    Attributes:
        called_at: when Label Studio last asked this service which version serves the project.
        archived_at: when the project was archived, because it disappeared from Label Studio or by hand.
            Nothing is done for an archived project; its rows and weights stay.
        archived_by_hand: whether a person archived it. Otherwise it is restored once Label Studio shows it
            again.
        extent: its size and latest change at the last comparison, so that the next one can skip unchanged
            labels.
        has_view: whether the last comparison found the view that shows the order.
        shows_batch: whether tasks are marked in Label Studio as the ones to label next.
        before_connect: what `dsal connect` found and changes, for `dsal disconnect`; None if it is not known.
        paused_at: when a person paused the learning; None while the project learns.
        told_to_stop_at: when NOTIFY_URL was told that it is time to stop; None if it was not, or if the
            outlook (`ml_backend.store.outlook`) said otherwise since.
    """

    __tablename__ = "projects"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    title: Mapped[str | None] = mapped_column(Words)
    label_config: Mapped[str] = mapped_column(Words, default="")
    state: Mapped[ProjectState] = mapped_column(default=ProjectState.NEW)
    seed: Mapped[int]
    # No foreign key: versions already reference projects, and SQLite cannot add a key that closes the cycle.
    published_version_id: Mapped[int | None]
    called_at: Mapped[datetime | None]
    archived_at: Mapped[datetime | None]
    archived_by_hand: Mapped[bool] = mapped_column(default=False)
    extent: Mapped[dict[str, Any] | None]
    has_view: Mapped[bool] = mapped_column(default=False)
    shows_batch: Mapped[bool] = mapped_column(default=False)
    before_connect: Mapped[dict[str, Any] | None]
    paused_at: Mapped[datetime | None]
    told_to_stop_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)


class Installation(Base):
    """The one row that names this installation; its webhooks carry the name, and /health tells it."""

    __tablename__ = "installations"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
