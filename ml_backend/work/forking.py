"""The process of a job: forked by a worker, ended when that is told to stop, and killed when it dies."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from rq import Queue, Worker
from rq.executions import Execution
from rq.job import Job

from ml_backend.queue import recovery
from ml_backend.store.database import Database

NICENESS = 10
"""By how much a job yields to the web service, unless its lane has another niceness."""
AUTOGROUP = Path("/proc/self/autogroup")

ENDING = (signal.SIGTERM, signal.SIGINT)
"""Signals that end a worker."""
PR_SET_PDEATHSIG = 1
"""Option of prctl(2): the signal that a process gets when its parent dies."""


class ForkingWorker(Worker):
    """RQ's forking worker, changed so that it loses no job to a signal.

    The parent process imports what jobs need but computes nothing, so forking is fast and safe for threads
    and CUDA.

    Args:
        queues: in order of priority.
        database: of which a job's process opens connections of its own.
        niceness: added to that of the worker for its jobs.
        options: of RQ's worker.
    """

    def __init__(self, queues: Sequence[Queue], database: Database, niceness: int, **options: Any) -> None:
        super().__init__(queues, **options)
        self._database = database
        self._niceness = niceness
        self._interrupted = False

    @property
    def stop_requested(self) -> bool:
        """Whether a signal has asked this worker to stop."""
        return self._shutdown_requested_date is not None

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
