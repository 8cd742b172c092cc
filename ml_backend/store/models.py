"""The tables: everything the service must still know after any of its processes has died."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import ForeignKey, Index, LargeBinary, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from ml_backend.store.base import Base, Words, now
from ml_backend.store.states import (
    Part,
    ProjectState,
    Provenance,
    RunState,
    ScoreState,
    VersionState,
)


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


class KeptPrediction(Base):
    """A prediction kept for open pages under another version name, and the version that drew it."""

    __tablename__ = "kept_predictions"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    prediction_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    version: Mapped[str] = mapped_column(String(120))
    kept_at: Mapped[datetime] = mapped_column(default=now)


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


class Agreement(Base):
    """Agreement between a task's annotators at the last training, for tasks that several people annotated."""

    __tablename__ = "agreements"

    project_id: Mapped[int] = mapped_column(ForeignKey("projects.id", ondelete="CASCADE"), primary_key=True)
    task_id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    annotators: Mapped[int]
    dsc: Mapped[float]


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
