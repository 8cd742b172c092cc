"""The states of projects, training runs, versions and scores, and the sides of the split."""

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

    If the strategy chooses whole batches, images are first `measured`. Once all are, they get their scores
    (`ranked`), and are then sent.
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
