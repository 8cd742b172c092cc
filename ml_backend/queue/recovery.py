"""Recovery after dead workers: jobs they had started, jobs they had taken, and their locks."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping

import redis
from rq import Queue, Worker
from rq.exceptions import NoSuchJobError
from rq.executions import Execution
from rq.job import Job, JobStatus
from rq.registry import ScheduledJobRegistry, StartedJobRegistry
from rq.scheduler import RQScheduler
from rq.serializers import JSONSerializer
from rq.utils import as_text

from ml_backend.queue.patience import longest_wait
from ml_backend.queue.queues import JobQueues
from ml_backend.store import liveness

logger = logging.getLogger(__name__)

RECHECK_SECONDS = 1.0
"""Time for a live worker to start a job that it has just taken from a queue."""


def requeue_abandoned(queues: JobQueues, worker_name: str) -> int:
    """Put jobs whose worker is dead back at the front of their queues; returns their number.

    `worker_name` is the name of the calling worker. Any other worker of the same process is an earlier one,
    and dead.
    """
    requeued = 0
    for queue in queues.all():
        registry = StartedJobRegistry(queue=queue)
        for job_id, execution_id in registry.get_job_and_execution_ids(cleanup=False):
            try:
                execution = Execution.fetch(execution_id, job_id, connection=queues.redis)
                job = Job.fetch(job_id, connection=queues.redis, serializer=JSONSerializer)
            except (ValueError, NoSuchJobError):
                # RQ itself removes expired records.
                continue
            if _is_dead(queues.redis, execution.worker_name, worker_name):
                requeue(queue, job, execution)
                requeued += 1
    return requeued


def requeue(queue: Queue, job: Job, execution: Execution) -> None:
    """Put a job whose execution was interrupted back at the front of its queue, without using up a retry."""
    with queue.connection.pipeline() as pipeline:
        execution.delete(job=job, pipeline=pipeline)
        # The public method reads before it writes, so it cannot be part of a transaction. RQ's own registries
        # call this one as well.
        queue._enqueue_job(job, pipeline=pipeline, at_front=True)
        pipeline.execute()
    logger.warning("Job %s was interrupted and will run again.", job.id)


def requeue_lost(queues: JobQueues, *, beside_others: bool = False) -> int:
    """Put back jobs that a dead worker had taken from a queue and not started; returns their number.

    With `beside_others`, checks twice, `RECHECK_SECONDS` apart, as a live worker may be about to start a job.
    """
    lost = _lost(queues)
    if lost and beside_others:
        time.sleep(RECHECK_SECONDS)
        still = {job.id for job in _lost(queues)}
        lost = [job for job in lost if job.id in still]
    by_name = {queue.name: queue for queue in queues.all()}
    for job in lost:
        queue = by_name[job.origin]
        queue.intermediate_queue.remove(job.id)
        queue.enqueue_job(job, at_front=True)
    return len(lost)


def shorten_waits(queues: JobQueues, delays: Mapping[str, float]) -> int:
    """Bring forward scheduled jobs that would wait longer than they ever should; returns their number.

    RQ schedules by the wall clock. If that is set back by three hours, what was to wait for ten seconds waits
    for three hours more.

    Args:
        queues: the queues.
        delays: the longest delay in seconds with which jobs are requested, by the name of their kind; none of
            those that are missing waits for anything but its next try.
    """
    shortened = 0
    for queue in queues.all():
        registry = ScheduledJobRegistry(queue=queue)
        names = registry.get_job_ids(cleanup=False)
        jobs = Job.fetch_many(names, connection=queues.redis, serializer=JSONSerializer)
        for name, job in zip(names, jobs, strict=True):
            longest = 0.0 if job is None else max(longest_wait(job), delays.get(str(job.func_name), 0.0))
            # RQ rounds to seconds.
            latest = time.time() + longest + 1
            if job is not None:
                # Only brings forward, and only a job that is still scheduled.
                changed = queues.redis.zadd(registry.key, {name: int(latest)}, xx=True, lt=True, ch=True)
                shortened += int(changed or 0)
    if shortened:
        logger.warning("The clock was set back: %d scheduled jobs come earlier than noted.", shortened)
    return shortened


def forget_dead_workers(queues: JobQueues) -> None:
    """Remove the records of dead workers and the locks of dead schedulers."""
    for worker in Worker.all(connection=queues.redis, serializer=JSONSerializer):
        if liveness.alive(process_of(worker.name)) is False:
            worker.register_death()
    for queue in queues.all():
        key = RQScheduler.get_locking_key(queue.name)
        holder = queues.redis.get(key)
        if holder is not None and liveness.alive(process_of(as_text(holder))) is False:
            queues.redis.delete(key)


def process_of(name: str) -> str:
    """The process id in the name of a worker or scheduler, which has the form `PROCESS_ID#3`."""
    return name.partition("#")[0]


def is_living(client: redis.Redis, worker_name: str) -> bool:
    """Whether a worker is alive; on another host, whether Redis still has its record.

    A worker renews its record with each heartbeat, and Redis forgets it after 70 to 105 s without one. So
    only the clock of Redis counts: those of two machines may differ by minutes.
    """
    alive = liveness.alive(process_of(worker_name))
    if alive is not None:
        return alive
    key = Worker.redis_worker_namespace_prefix + worker_name
    death, heartbeat = client.hmget(key, "death", "last_heartbeat")
    return heartbeat is not None and death is None


def _is_dead(client: redis.Redis, worker_name: str, asking: str) -> bool:
    if process_of(worker_name) == process_of(asking):
        return worker_name != asking
    return not is_living(client, worker_name)


def _lost(queues: JobQueues) -> list[Job]:
    names = {queue.name for queue in queues.all()}
    known = {job_id for queue in queues.all() for job_id in queue.get_job_ids()}
    # A worker notes at once that it took a job; on a busy machine its child starts the job only much later.
    for queue in queues.all():
        known |= set(StartedJobRegistry(queue=queue).get_job_ids(cleanup=False))
    return [job for job in _queued_jobs(queues.redis) if job.id not in known and job.origin in names]


def _queued_jobs(client: redis.Redis) -> list[Job]:
    prefix = Job.redis_job_namespace_prefix
    keys = client.scan_iter(match=f"{prefix}*", _type="HASH")
    job_ids = [as_text(key).removeprefix(prefix) for key in keys]
    jobs = Job.fetch_many(job_ids, connection=client, serializer=JSONSerializer)
    return [job for job in jobs if job is not None and job.get_status(refresh=False) is JobStatus.QUEUED]
