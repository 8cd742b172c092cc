"""What is known of predictions: the score of each task, and the masks that open pages may still show."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import ForeignKey, Index, LargeBinary, String, text
from sqlalchemy.orm import Mapped, mapped_column

from ml_backend.store.base import Base, Words, now
from ml_backend.store.states import ScoreState


class Score(Base):
    """The score of one task under one version, and its state on the way to Label Studio.

    Attributes:
        l_dsc, m_dsc: consistency of the lower and middle masks with the final one, equation (3).
        score: mean of the two, by which Label Studio sorts (`model.strategies.published`).
        priority: the query strategy's own number (`model.strategies.priorities`); None until the batch is
            chosen, and for predictions from another source.
        blank: the network found nothing.
        hidden: the network found something, but its estimated Dice is below MASK_FLOOR, so that the
            prediction has no regions.
        quality, margin: estimate of the mask's true Dice, and its margin of error (`model.quality`). None for
            a blank mask; without a margin the estimate is rough, as there are too few validation images.
        packed: measurement and regions (`ml_backend.score.packing`), kept until another version is published:
            a new strategy orders by them. None for predictions that were sent at once. Loaded only on request
            (`ml_backend.store.scores`), because a large project has hundreds of MB of them.
        error: why the image could not be read, or None.
        retry_at: when to retry the image; None unless it failed for a temporary reason.
        tries: number of such failures.
        drawn_by_run: the training whose weights drew the mask; None if the version itself did.
        due: mask and score are those of a version before, until this one has measured the image itself
            (`ml_backend.score.candidates`).
        picture: name of the task's image in the cache of images, by which the page finds it without Label
            Studio; None without a network or an image, and for images that are not cached.
    """

    __tablename__ = "scores"
    __table_args__ = (
        # Without it, the packed data of all rows would be read to find those few.
        Index(
            "scores_due",
            "version_id",
            "task_id",
            sqlite_where=text("due = 1"),
            postgresql_where=text("due"),
        ),
    )

    version_id: Mapped[int] = mapped_column(ForeignKey("versions.id", ondelete="CASCADE"), primary_key=True)
    task_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    chunk: Mapped[int] = mapped_column(default=0)
    l_dsc: Mapped[float | None]
    m_dsc: Mapped[float | None]
    score: Mapped[float | None]
    priority: Mapped[float | None]
    blank: Mapped[bool] = mapped_column(default=False)
    state: Mapped[ScoreState] = mapped_column(default=ScoreState.PENDING)
    error: Mapped[str | None] = mapped_column(Words)
    retry_at: Mapped[datetime | None]
    tries: Mapped[int] = mapped_column(default=0)
    packed: Mapped[bytes | None] = mapped_column("held", LargeBinary, deferred=True)
    quality: Mapped[float | None]
    margin: Mapped[float | None]
    hidden: Mapped[bool] = mapped_column(default=False)
    drawn_by_run: Mapped[int | None]
    due: Mapped[bool] = mapped_column(default=False)
    picture: Mapped[str | None] = mapped_column(String(64))


class KeptPrediction(Base):
    """A prediction kept for open pages under another version name, and the version that drew it."""

    __tablename__ = "kept_predictions"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    prediction_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[str] = mapped_column(String(120))
    kept_at: Mapped[datetime] = mapped_column(default=now)


class FormerMask(Base):
    """The regions of a prediction before it was drawn again, since a page that is open may still show them.

    Attributes:
        packed: the regions, packed by `ml_backend.score.packing`.
        blank: the network had found nothing.
        drawn_by_run: the training whose draft drew it; None for the prediction's version.
    """

    __tablename__ = "former_masks"

    id: Mapped[int] = mapped_column(primary_key=True)
    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), index=True)
    prediction_id: Mapped[int] = mapped_column(index=True)
    packed: Mapped[bytes] = mapped_column(LargeBinary)
    blank: Mapped[bool]
    drawn_by_run: Mapped[int | None]
    replaced_at: Mapped[datetime] = mapped_column(default=now)
