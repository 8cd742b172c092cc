"""Faults that pass: a job that meets one is tried again for as long as it lasts, ever less often.

Label Studio, the database, a disk or a device may be away for minutes or for days. Nobody should have to ask
for the work again when they are back, so such a failure uses up no retry. Any other error is most likely a
bug, which further tries meet again: it has the `RETRY_SECONDS`, and the comparison with Label Studio requests
afterwards what is still missing.
"""

from __future__ import annotations

import random
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from redis.exceptions import RedisError
from rq.job import Job
from rq.timeouts import BaseTimeoutException

from ml_backend.items import is_outside, reason
from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.queue.kinds import RETRY_SECONDS

LONGEST_SECONDS = 600.0
"""Longest time between two tries while a fault lasts."""

JITTER = 0.1
"""By up to this share a wait is longer or shorter, so that many jobs do not return at the same moment."""

NOTE = "failed"
"""Key of a job's meta data that describes its failures in a row."""


@dataclass(frozen=True)
class Waiting:
    """A job that failed and waits for its next try.

    Attributes:
        name: of the job, such as "train-3".
        failures: how many times in a row it failed.
        reason: why it failed last, in one sentence.
        until: when it is tried again.
        is_label_studio: whether Label Studio did not answer, or refused the token.
    """

    name: str
    failures: int
    reason: str
    until: datetime
    is_label_studio: bool = False


def note_failure(job: Job, error: Exception) -> None:
    """Note on a job why it failed; if the fault may pass, it uses up no retry."""
    # A job that takes longer than any job may is more likely endless: it must not come back for ever.
    passes = is_outside(error) and not isinstance(error, BaseTimeoutException)
    former = _note(job)
    job.meta[NOTE] = {
        "failures": int(former.get("failures", 0)) + 1,
        "reason": str(error) if isinstance(error, LabelStudioError) else reason(error),
        "passes": passes,
        "label_studio": isinstance(error, LabelStudioError) and passes,
    }
    if passes:
        job.retries_left = len(RETRY_SECONDS)
    with suppress(RedisError):  # then the queue cannot try again either, and a worker resumes the job
        job.save_meta()


def seconds_until_retry(job: Job) -> float | None:
    """How long a job with a passing fault waits for its next try; None for any other job."""
    note = _note(job)
    if not note.get("passes"):
        return None
    return wait(int(note["failures"])) * random.uniform(1 - JITTER, 1 + JITTER)


def wait(failures: int) -> float:
    """Seconds after so many failures in a row (at least 1), without jitter."""
    return float(RETRY_SECONDS[failures - 1]) if failures <= len(RETRY_SECONDS) else LONGEST_SECONDS


def longest_wait(job: Job) -> float:
    """The most seconds that a scheduled job may wait for its next try; 0 if it has not failed."""
    note = _note(job)
    if note.get("passes"):
        return wait(int(note["failures"])) * (1 + JITTER)
    used = len(RETRY_SECONDS) - (job.retries_left or 0)
    return wait(used) if used else 0.0


def waiting(job: Job, until: datetime) -> Waiting | None:
    """A scheduled job as one that failed before; None if it did not."""
    note = _note(job)
    if not note:
        return None
    is_label_studio = bool(note.get("label_studio"))
    return Waiting(job.id, int(note["failures"]), str(note["reason"]), until, is_label_studio)


def _note(job: Job) -> dict[str, Any]:
    found = job.meta.get(NOTE)
    return found if isinstance(found, dict) else {}
