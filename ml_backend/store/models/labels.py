"""What is known of labels, which themselves stay in Label Studio."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from ml_backend.store.base import Base, now
from ml_backend.store.states import Part, Provenance


class Event(Base):
    """One webhook call: a hint that labels changed, without the labels themselves.

    `changes` names what changed ("annotation:3", "task:5"), so that two edits of one annotation count once.
    """

    __tablename__ = "events"
    __table_args__ = (Index("events_of_run", "project_id", "consumed_by_run"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"))
    action: Mapped[str] = mapped_column(String(64))
    task_ids: Mapped[list[int]] = mapped_column(default=list)
    changes: Mapped[list[str]] = mapped_column(default=list)
    created_at: Mapped[datetime] = mapped_column(default=now)
    consumed_by_run: Mapped[int | None] = mapped_column(ForeignKey("training_runs.id", ondelete="SET NULL"))


class Split(Base):
    """The side of the split of a labelled task; never changed once written."""

    __tablename__ = "splits"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    task_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    part: Mapped[Part]


class LabelSeen(Base):
    """An annotation as the last training saw it."""

    __tablename__ = "labels_seen"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    annotation_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    task_id: Mapped[int] = mapped_column(index=True)
    fingerprint: Mapped[str] = mapped_column(String(64))


class Edit(Base):
    """How one annotation came to be, compared with the mask that its annotator was shown.

    Attributes:
        digest: of the annotation's masks; another digest is another edit.
        version: name of the version that drew the mask on display; None if there was none.
        dsc: mean Dice over the labels of the shown and the submitted mask, in [0, 1]; None if there was no
            mask on display, or if it is no longer known.
        per_label: the same by label.
        added_path: added path length in pixels (`model.metrics.added_path_length`); None as for `dsc`.
        lead_time: the annotator's time in seconds.
    """

    __tablename__ = "edits"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    annotation_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    task_id: Mapped[int] = mapped_column(index=True)
    digest: Mapped[str] = mapped_column(String(64))
    provenance: Mapped[Provenance]
    version: Mapped[str | None] = mapped_column(String(120))
    dsc: Mapped[float | None]
    per_label: Mapped[dict[str, float]] = mapped_column(default=dict)
    added_path: Mapped[int | None]
    lead_time: Mapped[float | None]


class Agreement(Base):
    """Agreement between a task's annotators at the last training, for tasks that several people annotated."""

    __tablename__ = "agreements"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    task_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    annotators: Mapped[int]
    dsc: Mapped[float]
