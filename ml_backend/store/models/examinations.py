"""Labels compared with networks that have not learned from them, and how far that is."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from ml_backend.store.base import Base, Words, now


class ExaminedLabel(Base):
    """An annotation compared with a network that had not learned from it (`ml_backend.learn.suspicious`).

    Attributes:
        digest: of the annotation's masks; another digest is another mask, which was not examined.
        changed_at: Label Studio's time stamp of the annotation then, as it spells it.
        score: how suspicious it is, in [0, 1) (`model.suspicion`).
        is_suspicious: whether somebody should look at it.
        reason: what looks wrong, in words.
        regions: where mask and network differ, the weightiest first, each {"given", "seen": label or None for
            the background, "pixels", "certainty", "box": [left, top, right, bottom] in pixels of the image}.
        shift_x, shift_y: pixels further on where the whole mask would agree best.
        figures: what the score is made from, by the names of `model.suspicion.Evidence`.
        version: name of the fold's network that examined it; empty for those of earlier releases.
        picture: PNG of three channels, for a picture of both masks (`ml_backend.learn.evidence`); None unless
            suspicious. Loaded only on request.
        mark: the place of the disagreement, [left, top, right, bottom] in pixels of `picture`.
        confirmed: whether a person has submitted it again unchanged.
    """

    __tablename__ = "examined_labels"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    annotation_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    task_id: Mapped[int] = mapped_column(index=True)
    digest: Mapped[str] = mapped_column(String(64))
    changed_at: Mapped[str] = mapped_column(String(40))
    score: Mapped[float]
    is_suspicious: Mapped[bool]
    reason: Mapped[str] = mapped_column(Text)
    regions: Mapped[list[dict[str, Any]]] = mapped_column(default=list)
    shift_x: Mapped[int] = mapped_column(default=0)
    shift_y: Mapped[int] = mapped_column(default=0)
    figures: Mapped[dict[str, float]] = mapped_column(default=dict)
    version: Mapped[str] = mapped_column(String(60), default="")
    picture: Mapped[bytes | None] = mapped_column(LargeBinary, deferred=True)
    mark: Mapped[list[int]] = mapped_column(default=list)
    confirmed: Mapped[bool] = mapped_column(default=False)
    examined_at: Mapped[datetime] = mapped_column(default=now)


class Examination(Base):
    """How far the examination of a project's labels is, and the networks that examine them.

    Attributes:
        labels: of the labeling config that the networks were planned for.
        tasks: number of labelled tasks when they were planned.
        folds: {"held": ids of the tasks that a network has not learned, "version": its name, "weights": hash
            of its weights} of each network; the latter two are empty until it is trained.
        finished: stamp of the labels when all of them had been examined (`ml_backend.store.examinations`).
        message: what it does now or why it stopped, in words.
        begun_at, changed_at: when the networks were planned, and when this row was changed last.
    """

    __tablename__ = "examinations"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    labels: Mapped[list[str]]
    tasks: Mapped[int]
    folds: Mapped[list[dict[str, Any]]]
    finished: Mapped[str] = mapped_column(String(64), default="")
    message: Mapped[str] = mapped_column(Words, default="")
    begun_at: Mapped[datetime] = mapped_column(default=now)
    changed_at: Mapped[datetime] = mapped_column(default=now, onupdate=now)
