"""The worker: takes up what dead workers left, then one job after another, and outlasts a lost Redis."""

from __future__ import annotations

import logging
import math
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from itertools import count

import redis
from rq import Queue
from rq.defaults import DEFAULT_LOGGING_DATE_FORMAT, DEFAULT_LOGGING_FORMAT
from rq.executions import Execution
from rq.job import Job
from rq.scheduler import RQScheduler
from rq.serializers import JSONSerializer

from ml_backend.act.performing import resume_actions
from ml_backend.assign.distribution import COOLDOWN
from ml_backend.items import is_outside, reason
from ml_backend.label_studio.sdk import preload
from ml_backend.queue import kinds, recovery
from ml_backend.queue.clients import connect_redis
from ml_backend.queue.embedded_redis import EmbeddedRedisError
from ml_backend.queue.jobs import functions_in, job_class
from ml_backend.queue.kinds import QUEUES, QUICK
from ml_backend.queue.logs import configure_logs
from ml_backend.queue.queues import JobQueues
from ml_backend.reconcile import resume
from ml_backend.settings import Settings
from ml_backend.store.database import Database
from ml_backend.store.liveness import ProcessId
from ml_backend.work import fairness
from ml_backend.work.forking import NICENESS, ForkingWorker, kill_children_with_their_parent

logger = logging.getLogger(__name__)

JOB_PACKAGES = (
    "ml_backend.act",
    "ml_backend.assign",
    "ml_backend.learn",
    "ml_backend.reconcile",
    "ml_backend.research",
    "ml_backend.score",
)
"""Packages whose modules register the functions of jobs, or extend what these do."""

WORKER_TTL = 45
MONITORING_SECONDS = 10
MAINTENANCE_SECONDS = 30
RECONNECT_SECONDS = 2.0
RECHECK_SECONDS = 10.0
"""More than a training ever waits for an order that is being made."""


class PatientScheduler(RQScheduler):
    """RQ's scheduler, which goes on after a Redis that was away, or refused to write on a full disk.

    RQ's own ends, and nothing that is scheduled starts until a lane is idle and replaces it.
    """

    def work(self) -> None:
        """Schedule jobs until a signal arrives."""
        while True:
            try:
                super().work()
            except redis.exceptions.RedisError as error:
                if self._stop_requested:
                    return
                logger.warning("Redis cannot be used; scheduled jobs wait: %s", reason(error))
                time.sleep(RECONNECT_SECONDS)
            else:
                return


class JobWorker(ForkingWorker):
    """The worker of the loop's jobs, which loses none to a kill or a lost Redis."""

    def __init__(
        self,
        settings: Settings,
        database: Database,
        queues: JobQueues,
        jobs: type[Job],
        names: Sequence[str],
        name: str,
        niceness: int = NICENESS,
    ) -> None:
        super().__init__(
            [queue for queue in queues.all() if queue.name in names],
            database,
            niceness,
            name=name,
            connection=queues.redis,
            job_class=jobs,
            serializer=JSONSerializer,
            worker_ttl=WORKER_TTL,
            job_monitoring_interval=MONITORING_SECONDS,
            maintenance_interval=MAINTENANCE_SECONDS,
        )
        self._settings = settings
        self._job_queues = queues
        self._maintained_at = -math.inf

    def reorder_queues(self, reference_queue: Queue) -> None:
        """Alternate between scoring and training; a quick job does not affect the alternation."""
        if reference_queue.name != QUICK:
            self._ordered_queues = fairness.order(self._ordered_queues, reference_queue.name, self._database)

    @property
    def _delays(self) -> dict[str, float]:
        """The longest delay in seconds with which jobs of a kind are requested."""
        return {
            kinds.TRAINING.name: max(self._settings.quiet_seconds, RECHECK_SECONDS),
            kinds.RECONCILE.name: self._settings.reconcile_seconds,
            kinds.ASSIGN.name: COOLDOWN.total_seconds(),
        }

    def recover(self) -> None:
        """Requeue what dead workers left, and request all work that the database shows as unfinished."""
        recovery.forget_dead_workers(self._job_queues)
        recovery.requeue_abandoned(self._job_queues, self.name)
        # Other lanes start at the same moment, and may just have taken a job.
        recovery.requeue_lost(self._job_queues, beside_others=True)
        resume.resume_orders(self._database, self._job_queues)
        resume.resume_rest(self._database, self._job_queues)
        resume.resume_assignments(self._database, self._job_queues)
        resume_actions(self._database, self._job_queues)
        resume.resume_trainings(self._settings, self._database, self._job_queues)
        resume.resume_examinations(self._settings, self._database, self._job_queues)
        if self._settings.reconcile_seconds:
            # Finds what changed while no worker was running.
            self._job_queues.request_reconcile()

    def maintain_heartbeats(self, job: Job, execution: Execution) -> None:
        """Send heartbeats; the job continues while Redis is unavailable."""
        try:
            super().maintain_heartbeats(job, execution)
        except redis.exceptions.RedisError as error:
            logger.warning("Redis cannot be used; job %s continues: %s", job.id, reason(error))

    @property
    def should_run_maintenance_tasks(self) -> bool:
        """Whether it is time for maintenance, by a clock that nobody sets, unlike the one that RQ reads."""
        return time.monotonic() - self._maintained_at > self.maintenance_interval

    def run_maintenance_tasks(self) -> None:
        """Do RQ's own maintenance, requeue what dead workers left, and request the next comparison."""
        self._maintained_at = time.monotonic()
        recovery.shorten_waits(self._job_queues, self._delays)
        recovery.forget_dead_workers(self._job_queues)
        recovery.requeue_abandoned(self._job_queues, self.name)
        resume.resume_trainings(self._settings, self._database, self._job_queues)
        resume.resume_examinations(self._settings, self._database, self._job_queues)
        if self._settings.reconcile_seconds:
            # The job has a fixed name: however many workers request it, only one waits at a time.
            self._job_queues.request_reconcile(delay=self._settings.reconcile_seconds)
        super().run_maintenance_tasks()

    def _start_scheduler(
        self,
        burst: bool = False,
        logging_level: str | None = "INFO",
        date_format: str = DEFAULT_LOGGING_DATE_FORMAT,
        log_format: str = DEFAULT_LOGGING_FORMAT,
    ) -> None:
        # RQ gives schedulers random names. The worker's name tells whether the holder of a lock is alive.
        self.scheduler = PatientScheduler(
            self.queues,
            connection=self.connection,
            logging_level=logging_level or self.log.level,
            date_format=date_format,
            log_format=log_format,
            serializer=self.serializer,
            name=self.name,
        )
        if not self.scheduler.acquire_locks():
            return
        if burst:
            self.scheduler.enqueue_scheduled_jobs()
            self.scheduler.release_locks()
        else:
            self.scheduler.start()


def run_worker(
    settings: Settings,
    *,
    queues: Sequence[str] = QUEUES,
    burst: bool = False,
    packages: Sequence[str] = JOB_PACKAGES,
    niceness: int = NICENESS,
) -> None:
    """Work until SIGTERM or SIGINT, or with `burst` until no job is left.

    A Redis, database or disk that fails meanwhile is waited for.

    The modules of `packages`, which register the functions of jobs, are imported once, before any fork.

    Raises:
        DatabaseError, EmbeddedRedisError, redis.exceptions.ConnectionError: the database or Redis is
            unavailable at the start.
    """
    configure_logs(settings.log_level)
    jobs = job_class(load_jobs(packages))
    kill_children_with_their_parent()
    database = Database(settings.effective_database_url)
    process = ProcessId.current()
    client = connect_redis(settings)
    for generation in count():
        worker = JobWorker(
            settings, database, JobQueues(client), jobs, queues, f"{process}#{generation}", niceness
        )
        # Existing connections have the short timeout of web requests, too short for waiting for jobs.
        client.connection_pool.disconnect()
        try:
            worker.recover()
            worker.work(burst=burst, with_scheduler=True, logging_level=settings.log_level)
        except Exception as error:
            if not is_outside(error):
                raise
            logger.warning("This lane begins anew, since what it needs failed: %s", reason(error))
        if burst or worker.stop_requested:
            return
        if worker.horse_pid:
            worker.kill_horse()
            worker.wait_for_horse()
        client = _reconnect(settings)


def load_jobs(packages: Sequence[str]) -> dict[str, Callable[..., None]]:
    """Import all that jobs need, before their processes are forked; returns the functions of the jobs."""
    found = functions_in(packages)
    preload()
    if "torch" in sys.modules:
        # The first optimiser of a process imports it, in more than a second: each training would wait for it.
        import_module("torch._dynamo")
        # Likewise each process that draws masks would import its engine's library.
        import_module("model.engines").preload()
    return found


def _reconnect(settings: Settings) -> redis.Redis:
    while True:
        time.sleep(RECONNECT_SECONDS)
        try:
            return connect_redis(settings)
        except (redis.exceptions.RedisError, EmbeddedRedisError, OSError) as error:
            logger.warning("Redis cannot be used yet: %s", reason(error))
