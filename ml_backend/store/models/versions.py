"""Versions, the trainings that make them, and the drafts of those that are running."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, String, text
from sqlalchemy.orm import Mapped, mapped_column

from ml_backend.store.base import Base, Words, now
from ml_backend.store.states import RunState, VersionState


class Version(Base):
    """One set of weights, or, if `weights_hash` is None, the seeded random order of round 0.

    Attributes:
        strategy: the query strategy by which it orders the tasks.
        fingerprint: of everything that shaped its predictions besides weights and images
            (`ml_backend.score.strategy`); None until scoring starts.
        kept: whether a person wants its weights kept, however many versions follow.
    """

    __tablename__ = "versions"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), index=True)
    name: Mapped[str] = mapped_column(String(120), unique=True)
    round: Mapped[int]
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("versions.id", ondelete="SET NULL"))
    weights_hash: Mapped[str | None] = mapped_column(String(64))
    labels: Mapped[list[str]] = mapped_column(default=list)
    state: Mapped[VersionState]
    metrics: Mapped[dict[str, Any]] = mapped_column(default=dict)
    labels_used: Mapped[int] = mapped_column(default=0)
    seconds_training: Mapped[float] = mapped_column(default=0.0)
    seconds_scoring: Mapped[float] = mapped_column(default=0.0)
    seconds_publishing: Mapped[float] = mapped_column(default=0.0)
    message: Mapped[str] = mapped_column(Words, default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    published_at: Mapped[datetime | None]
    strategy: Mapped[str] = mapped_column(String(64), default="consistency")
    fingerprint: Mapped[str | None] = mapped_column("recipe", String(64))
    kept: Mapped[bool] = mapped_column(default=False)


class TrainingRun(Base):
    """One training; while it is running it is the lease on its project, kept by its owner's heartbeats.

    Attributes:
        owner: the process that trains (`ml_backend.store.liveness.ProcessId`).
        passing: whether a failed run failed for a temporary reason: Label Studio or images were unavailable.
    """

    __tablename__ = "training_runs"
    __table_args__ = (
        Index(
            "one_running_training",
            "project_id",
            unique=True,
            sqlite_where=text("state = 'running'"),
            postgresql_where=text("state = 'running'"),
        ),
    )

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), index=True)
    state: Mapped[RunState] = mapped_column(default=RunState.RUNNING)
    owner: Mapped[str] = mapped_column(String(255))
    heartbeat_at: Mapped[datetime] = mapped_column(default=now)
    attempts: Mapped[int] = mapped_column(default=1)
    started_at: Mapped[datetime] = mapped_column(default=now)
    finished_at: Mapped[datetime | None]
    seconds: Mapped[float] = mapped_column(default=0.0)
    labels: Mapped[int] = mapped_column(default=0)
    message: Mapped[str] = mapped_column(Words, default="")
    version_id: Mapped[int | None] = mapped_column(ForeignKey("versions.id", ondelete="SET NULL"))
    passing: Mapped[bool] = mapped_column(default=False)


class Draft(Base):
    """The newest averaged weights of a running training, which draw masks; they do not affect the order.

    Attributes:
        run_id: the training.
        former_hash: weights of the draft before, which a process may still be loading.
        labels: those of the weights.
        step: of the training.
        learned: number of labelled tasks that the training had taken into account.
        drawn_at: when the very next tasks were drawn by it; None until then.
    """

    __tablename__ = "drafts"

    project_id: Mapped[int] = mapped_column(
        ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True, autoincrement=False
    )
    run_id: Mapped[int]
    weights_hash: Mapped[str] = mapped_column(String(64))
    former_hash: Mapped[str | None] = mapped_column(String(64))
    labels: Mapped[list[str]] = mapped_column(default=list)
    step: Mapped[int]
    learned: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default=now)
    drawn_at: Mapped[datetime | None]
