"""The worker: takes one job at a time and runs it in a forked child, which never outlives the worker."""

from __future__ import annotations

import ctypes
import logging
import math
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from itertools import count
from pathlib import Path
from typing import Any

import redis
from rq import Queue, Worker
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

NICENESS = 10
AUTOGROUP = Path("/proc/self/autogroup")
WORKER_TTL = 45
MONITORING_SECONDS = 10
MAINTENANCE_SECONDS = 30
RECONNECT_SECONDS = 2.0
RECHECK_SECONDS = 10.0
"""More than a training ever waits for an order that is being made."""

ENDING = (signal.SIGTERM, signal.SIGINT)
"""Signals that end a worker."""
PR_SET_PDEATHSIG = 1
"""Option of prctl(2): the signal that a process gets when its parent dies."""


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


class JobWorker(Worker):
    """RQ's forking worker, changed so that it loses no job to a signal, a kill or a lost Redis.

    The parent process imports what jobs need but computes nothing, so forking is fast and safe for threads
    and CUDA.
    """

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
            name=name,
            connection=queues.redis,
            job_class=jobs,
            serializer=JSONSerializer,
            worker_ttl=WORKER_TTL,
            job_monitoring_interval=MONITORING_SECONDS,
            maintenance_interval=MAINTENANCE_SECONDS,
        )
        self._settings = settings
        self._database = database
        self._job_queues = queues
        self._niceness = niceness
        self._interrupted = False
        self._maintained_at = -math.inf

    @property
    def stop_requested(self) -> bool:
        """Whether a signal has asked this worker to stop."""
        return self._shutdown_requested_date is not None

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

    def fork_work_horse(self, job: Job, queue: Queue) -> None:
        """Fork the child that runs a job, in its own session."""
        # The child must not meet this worker's handlers.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            child = os.fork()
            if child == 0:
                os.setsid()
                self.setup_work_horse_signals()
            self._horse_pid = child
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)
        if child == 0:
            self.main_work_horse(job, queue)
        if self.stop_requested:
            # Asked before there was a child: Python runs handlers here if another thread gets the signal.
            self.handle_warm_shutdown_request()

    def kill_horse(self, sig: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to the job's process and what it started; not to this worker's own group.

        A child that was forked a moment ago may not have its own session yet.
        """
        with suppress(ProcessLookupError):
            if os.getpgid(self.horse_pid) == os.getpgrp():
                os.kill(self.horse_pid, sig)
                return
        super().kill_horse(sig)

    def main_work_horse(self, job: Job, queue: Queue) -> None:
        """Run a job in the forked child, at a lower priority than the web service."""
        os.nice(self._niceness)
        # Linux may schedule by session (autogroup), where the niceness of a process has no effect.
        with suppress(OSError):
            AUTOGROUP.write_text(str(self._niceness))
        self._database.after_fork()
        super().main_work_horse(job, queue)

    def handle_warm_shutdown_request(self) -> None:
        """Stop a running job at once: it returns to the front of its queue and loses only unsaved steps."""
        super().handle_warm_shutdown_request()
        if self.horse_pid:
            self._interrupted = True
            self.kill_horse(signal.SIGTERM)

    def handle_job_failure(
        self,
        job: Job,
        queue: Queue,
        started_job_registry: Any = None,
        exc_string: str = "",
        execution: Execution | None = None,
    ) -> None:
        """Record a failure; an interrupted job is requeued instead."""
        if self._interrupted and execution is not None:
            recovery.requeue(queue, job, execution)
            return
        super().handle_job_failure(job, queue, started_job_registry, exc_string, execution)

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


def kill_children_with_their_parent() -> None:
    """Make the kernel kill every child forked from now on when its parent dies, however that happens."""
    libc = ctypes.CDLL(None, use_errno=True)
    parent = os.getpid()

    def remember_parent() -> None:
        nonlocal parent
        parent = os.getpid()

    def die_with_parent() -> None:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    os.register_at_fork(before=remember_parent, after_in_child=die_with_parent)
