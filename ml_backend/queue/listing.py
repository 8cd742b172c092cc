"""The jobs in the queues, for people: what waits, what is running, what failed and why."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

from rq.job import Job
from rq.registry import ScheduledJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer

from ml_backend.queue.queues import JobQueues

MOST = 100
"""Most jobs of each state and queue that are listed."""


@dataclass(frozen=True)
class ListedJob:
    """A job.

    Attributes:
        id, kind: its name and its kind's.
        state: running, waiting, scheduled or failed.
        arguments: ids by name.
        since: when it was put into its queue, started or ended; None if unknown.
        reason: why it failed, in one sentence; empty otherwise.
    """

    id: str
    kind: str
    state: str
    arguments: dict[str, int]
    since: datetime | None
    reason: str = ""


def listed_jobs(queues: JobQueues) -> list[ListedJob]:
    """All jobs, at most `MOST` of each state and queue: running ones first, failed ones last."""
    found: list[ListedJob] = []
    for queue in queues.all():
        started = StartedJobRegistry(queue=queue).get_job_ids(0, MOST - 1, cleanup=False)
        states = {
            "running": [name.partition(":")[0] for name in started],
            "waiting": queue.get_job_ids(0, MOST),
            "scheduled": ScheduledJobRegistry(queue=queue).get_job_ids(0, MOST - 1, cleanup=False),
            "failed": queue.failed_job_registry.get_job_ids(0, MOST - 1, cleanup=False),
        }
        for state, names in states.items():
            jobs = Job.fetch_many(names, connection=queues.redis, serializer=JSONSerializer)
            found += [_listed(job, state) for job in jobs if job is not None]
    return sorted(found, key=lambda job: ("running", "waiting", "scheduled", "failed").index(job.state))


def _listed(job: Job, state: str) -> ListedJob:
    since = {"running": job.started_at, "failed": job.ended_at}.get(state, job.enqueued_at)
    if since is not None and since.tzinfo is None:
        since = since.replace(tzinfo=UTC)
    reason = _reason(job) if state == "failed" else ""
    return ListedJob(job.id, job.func_name or "?", state, dict(job.kwargs), since, reason)


def _reason(job: Job) -> str:
    """The last line of the traceback, without the class of an error whose text is a sentence."""
    result = job.latest_result()
    lines = ((result.exc_string if result is not None else "") or "").strip().splitlines()
    if not lines:
        return "The worker ended while it did this job; its log may say why."
    name, separator, said = lines[-1].partition(": ")
    return said if separator and name.startswith(("ml_backend.", "model.")) else lines[-1]
