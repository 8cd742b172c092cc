"""The states of projects, runs, versions, scores and actions, the sides of the split, and provenances."""

from __future__ import annotations

from enum import StrEnum


class ProjectState(StrEnum):
    """A project is `new` until it has been ordered for its current labeling config."""

    NEW = "new"
    READY = "ready"


class RunState(StrEnum):
    """State of a training run; at most one run of a project is `running`."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"


class VersionState(StrEnum):
    """State of a version; the `published` one orders the tasks, `superseded` ones did or were overtaken."""

    TRAINING = "training"
    SCORING = "scoring"
    PUBLISHED = "published"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"
    FAILED = "failed"


class ScoreState(StrEnum):
    """State of a score: `pending` until computed, `writing` while being sent, `written` in Label Studio.

    In between, the scores of a version that is not published yet are `ranked`: ready to be sent with all
    others. If the strategy chooses whole batches, they are `measured` before, until they can be ranked.
    """

    PENDING = "pending"
    MEASURED = "measured"
    RANKED = "ranked"
    WRITING = "writing"
    WRITTEN = "written"


class Part(StrEnum):
    """Side of the fixed split, by labelled task."""

    TRAINING = "training"
    VALIDATION = "validation"


class Provenance(StrEnum):
    """How an annotation came to be.

    It was `drawn` without a mask on display, `edited` from the mask of a prediction, or that mask was
    `accepted` unchanged.
    """

    DRAWN = "drawn"
    EDITED = "edited"
    ACCEPTED = "accepted"


class ActionKind(StrEnum):
    """What a person may ask for."""

    PUBLISH = "publish"
    ROLL_BACK = "rollback"
    DELETE = "delete"
    KEEP = "keep"
    RELEASE = "release"
    PAUSE = "pause"
    RESUME = "resume"
    TRAIN = "train"
    RETRY = "retry"
    CHECK = "check"


class ActionState(StrEnum):
    """State of an action: `waiting` until a worker has done or refused it."""

    WAITING = "waiting"
    DONE = "done"
    REFUSED = "refused"
