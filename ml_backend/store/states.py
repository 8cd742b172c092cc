"""The states that projects, trainings, versions and scores go through."""

from __future__ import annotations

from enum import StrEnum


class ProjectState(StrEnum):
    """`new` until the first ordering for its present labeling config has been made."""

    NEW = "new"
    READY = "ready"


class RunState(StrEnum):
    """Life of one training; at most one run of a project is RUNNING."""

    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"


class VersionState(StrEnum):
    """Life of a version; `published` is the one that orders the tasks, `superseded` was it once."""

    TRAINING = "training"
    SCORING = "scoring"
    PUBLISHED = "published"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"
    FAILED = "failed"


class ScoreState(StrEnum):
    """A score is computed after `pending`, being sent in `writing`, in Label Studio when `written`.

    Where a strategy chooses whole batches, an image is first `measured`; once all are, they are `ranked`,
    which gives them their scores, and then sent.
    """

    PENDING = "pending"
    MEASURED = "measured"
    RANKED = "ranked"
    WRITING = "writing"
    WRITTEN = "written"


class Part(StrEnum):
    """Side of the fixed split on which a labelled task lies."""

    TRAINING = "training"
    VALIDATION = "validation"
