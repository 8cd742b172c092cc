"""Queues of named jobs: a job that waits is not added again, and one that failed can be tried again."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from datetime import timedelta

import redis
from rq import Queue, Retry
from rq.exceptions import DuplicateJobError, InvalidJobOperation, NoSuchJobError
from rq.job import Job, JobStatus
from rq.registry import ScheduledJobRegistry, StartedJobRegistry
from rq.serializers import JSONSerializer
from rq.utils import as_text

from ml_backend.queue.kinds import ASSIGN, QUEUES, RECONCILE, RETRY_SECONDS, TRAINING, UPKEEP, JobKind
from ml_backend.queue.patience import Waiting, waiting

FAILED_SECONDS = 7 * 24 * 3600
"""How long the records of failed jobs are kept."""
ENDED = {JobStatus.FINISHED, JobStatus.FAILED, JobStatus.STOPPED, JobStatus.CANCELED}


class NamedJobQueues:
    """RQ's queues, in which at most one job of a name waits; a job contains only ids, as JSON."""

    def __init__(self, client: redis.Redis) -> None:
        """Use the queues on the Redis server of `client`."""
        self.redis = client
        self._queues = {name: Queue(name, connection=client, serializer=JSONSerializer) for name in QUEUES}

    def all(self) -> list[Queue]:
        """RQ's queues in order of priority, highest first."""
        return list(self._queues.values())

    def depths(self) -> dict[str, int]:
        """Number of waiting jobs in each queue, scheduled jobs included."""
        return {
            name: len(queue) + ScheduledJobRegistry(queue=queue).get_job_count(cleanup=False)
            for name, queue in self._queues.items()
        }

    def failed(self) -> dict[str, int]:
        """Number of jobs in each queue that failed after all retries."""
        return {
            name: queue.failed_job_registry.get_job_count(cleanup=False)
            for name, queue in self._queues.items()
        }

    def waiting(self) -> list[Waiting]:
        """The jobs that failed and wait for their next try, by its time."""
        found: list[Waiting] = []
        for queue in self._queues.values():
            registry = ScheduledJobRegistry(queue=queue)
            for job_id in registry.get_job_ids(cleanup=False):
                with suppress(NoSuchJobError):
                    job = Job.fetch(job_id, connection=self.redis, serializer=JSONSerializer)
                    one = waiting(job, registry.get_scheduled_time(job_id))
                    found += [] if one is None else [one]
        return sorted(found, key=lambda one: one.until)

    def end_waiting(self) -> int:
        """Try the jobs again at once that wait for Label Studio; returns their number.

        Call it when Label Studio has answered: a wait may otherwise last for ten minutes more.
        """
        names = {one.name for one in self.waiting() if one.is_label_studio}
        for queue in self._queues.values():
            registry = ScheduledJobRegistry(queue=queue)
            for job_id in names.intersection(registry.get_job_ids(cleanup=False)):
                with suppress(InvalidJobOperation, NoSuchJobError):
                    registry.requeue(job_id)
        return len(names)

    def is_idle(self, but: JobKind) -> bool:
        """Whether no job waits for a worker and none is executed, other than upkeep and jobs of a kind.

        Upkeep has a lane of its own, but in a worker without lanes it waits as well.
        """
        names = [name for queue in self._queues.values() for name in queue.get_job_ids()]
        for name, queue in self._queues.items():
            if name != UPKEEP:
                names += StartedJobRegistry(queue=queue).get_job_ids(cleanup=False)
        jobs = Job.fetch_many(names, connection=self.redis, serializer=JSONSerializer)
        return all(job is None or job.func_name == but.name for job in jobs)

    def try_again(self, job_id: str) -> None:
        """Put a job that failed for good into its queue again.

        Raises:
            NoSuchJobError: its record is gone.
            InvalidJobOperation: it has not failed.
        """
        job = Job.fetch(job_id, connection=self.redis, serializer=JSONSerializer)
        if job.get_status() is not JobStatus.FAILED:
            raise InvalidJobOperation(f"{job_id} has not failed.")
        job.requeue()

    def _request(
        self, kind: JobKind, name: str, arguments: Mapping[str, int], delay: float | None = None
    ) -> bool:
        """Add the job unless one of the same name is waiting; True if added.

        A running job keeps its name, so the next one is called `NAME-again-1`, and so on.
        """
        queue = self._queues[kind.queue]
        slot = 0
        while True:
            job_id = name if slot == 0 else f"{name}-again-{slot}"
            status = self._status(job_id)
            if status is None:
                if self._enqueue(queue, kind, job_id, arguments, delay):
                    return True
            elif status in ENDED:
                self._forget(job_id)
            elif status is JobStatus.STARTED and kind.repeats:
                slot += 1
            else:
                # Scheduled jobs of other kinds are waiting for a retry, which a request does not bring
                # forward.
                if status is JobStatus.SCHEDULED and (
                    kind in (TRAINING, ASSIGN) or (kind is RECONCILE and delay is None)
                ):
                    self._change_time(queue, job_id, delay)
                return False

    def _status(self, job_id: str) -> JobStatus | None:
        status = self.redis.hget(Job.key_for(job_id), "status")
        return None if status is None else JobStatus(as_text(status))

    def _enqueue(
        self, queue: Queue, kind: JobKind, job_id: str, arguments: Mapping[str, int], delay: float | None
    ) -> bool:
        options = {
            "kwargs": dict(arguments),
            "job_id": job_id,
            "unique": True,
            "job_timeout": kind.timeout,
            "result_ttl": 0,
            "failure_ttl": FAILED_SECONDS,
            "retry": Retry(max=len(RETRY_SECONDS), interval=list(RETRY_SECONDS)),
        }
        try:
            if delay is None:
                queue.enqueue(kind.name, **options)
            else:
                queue.enqueue_in(timedelta(seconds=delay), kind.name, **options)
        except DuplicateJobError:
            return False
        return True

    def _forget(self, job_id: str) -> None:
        with suppress(NoSuchJobError):
            Job.fetch(job_id, connection=self.redis, serializer=JSONSerializer).delete()

    def _change_time(self, queue: Queue, job_id: str, delay: float | None) -> None:
        registry = ScheduledJobRegistry(queue=queue)
        if delay is not None:
            # Only postpones, and only a job that is still scheduled: the scheduler may be taking it right
            # now.
            self.redis.zadd(registry.key, {job_id: int(time.time() + delay)}, xx=True, gt=True)
            return
        with suppress(InvalidJobOperation, NoSuchJobError):
            registry.requeue(job_id)
