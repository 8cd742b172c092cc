"""The kinds of jobs: queue, time limit and retries, and what a request does while such a job runs."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

QUICK, SCORE, UPKEEP, TRAIN = "dsal-quick", "dsal-score", "dsal-upkeep", "dsal-train"
QUEUES = (QUICK, SCORE, TRAIN, UPKEEP)
"""Queue names in order of priority, highest first."""

RETRY_SECONDS = (10, 60, 300)
"""Delays before the retries of a failed job, of whatever kind."""


class Lane(StrEnum):
    """A process of a worker, by what it works on; `ml_backend.work.lanes` has the queues of each."""

    QUICK = "quick"
    TRAINING = "training"
    UPKEEP = "upkeep"


@dataclass(frozen=True)
class JobKind:
    """A kind of job.

    Attributes:
        name: stored in queued jobs; `ml_backend.queue.jobs.job` registers the function for it.
        queue: one of `QUEUES`.
        timeout: seconds after which a running job is stopped.
        repeats: whether a request that arrives while such a job runs adds another job after it. Needed for
            jobs that read everything there is to do when they start.
    """

    name: str
    queue: str
    timeout: int
    repeats: bool


ORDER = JobKind("order", QUICK, 3600, repeats=True)
SCORE_NEW = JobKind("score-new", QUICK, 4 * 3600, repeats=True)
SCORE_VERSION = JobKind("score-version", QUICK, 4 * 3600, repeats=False)
SCORE_CHUNK = JobKind("score-chunk", SCORE, 2 * 3600, repeats=False)
RANK = JobKind("rank", SCORE, 2 * 3600, repeats=False)
SEND = JobKind("send", SCORE, 3600, repeats=False)
PUBLISH = JobKind("publish", QUICK, 3600, repeats=False)
REDRAW = JobKind("redraw", SCORE, 3600, repeats=True)
SCORE_DUE = JobKind("score-due", SCORE, 3600, repeats=True)
RETRY_IMAGES = JobKind("retry-images", SCORE, 2 * 3600, repeats=False)
PRUNE = JobKind("prune", UPKEEP, 2 * 3600, repeats=True)
ASSIGN = JobKind("assign", QUICK, 3600, repeats=True)
CONFIRM = JobKind("confirm", QUICK, 600, repeats=True)
RECONCILE = JobKind("reconcile", UPKEEP, 2 * 3600, repeats=False)
ACT = JobKind("act", QUICK, 3600, repeats=False)
NOTIFY = JobKind("notify", UPKEEP, 120, repeats=False)
TRAINING = JobKind("train", TRAIN, 24 * 3600, repeats=True)
EXAMINE = JobKind("examine", TRAIN, 4 * 3600, repeats=False)
KINDS = (
    ORDER,
    SCORE_NEW,
    SCORE_VERSION,
    SCORE_CHUNK,
    RANK,
    SEND,
    PUBLISH,
    REDRAW,
    SCORE_DUE,
    RETRY_IMAGES,
    PRUNE,
    ASSIGN,
    CONFIRM,
    RECONCILE,
    ACT,
    NOTIFY,
    TRAINING,
    EXAMINE,
)
