"""The lanes of a worker: processes that work side by side, so that nothing quick waits for anything slow.

Whatever a person waits for is in the quick lane. Trainings have a lane of their own, and so have the
comparison with Label Studio and deletions: neither holds the other up.

`dsal worker` is the parent of all lanes. It imports what jobs need, forks the lanes, which share that
memory, and then only watches them. A lane that is killed is forked again; a lane that ends with an error,
such as a database that cannot be opened, ends the worker. When the parent dies, however that happens, the
kernel kills the lanes, and with them their jobs.
"""

from __future__ import annotations

import logging
import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

from ml_backend.queue.kinds import QUICK, SCORE, TRAIN, UPKEEP, Lane
from ml_backend.queue.logs import configure_logs
from ml_backend.queue.servers import await_servers
from ml_backend.settings import Settings
from ml_backend.store.private import private_folder
from ml_backend.work.forking import ENDING, kill_children_with_their_parent
from ml_backend.work.worker import JOB_PACKAGES, load_jobs, run_worker

logger = logging.getLogger(__name__)

RESTART_SECONDS = 1.0
"""Pause before a lane that was killed is forked again."""

LANES: Mapping[Lane, tuple[str, ...]] = {
    Lane.QUICK: (QUICK, SCORE),
    Lane.TRAINING: (TRAIN,),
    Lane.UPKEEP: (UPKEEP,),
}
"""The queues of each lane, in order of priority."""

NICENESS: Mapping[Lane, int] = {Lane.QUICK: 5, Lane.TRAINING: 10, Lane.UPKEEP: 10}
"""Niceness of each lane's jobs: all yield to the web service, trainings and upkeep also to quick jobs.

It is not higher, because a process of niceness 19 hardly runs beside a busy Label Studio."""


def run_lanes(
    settings: Settings, lanes: Sequence[Lane] = tuple(Lane), *, packages: Sequence[str] = JOB_PACKAGES
) -> int:
    """Run these lanes until SIGTERM or SIGINT; returns the exit status, that of a lane that failed.

    A single lane runs in this process itself. A Redis or database server that does not answer yet is waited
    for.

    Raises:
        DatabaseError, EmbeddedRedisError, redis.exceptions.ConnectionError: in the process of a lane, if the
            database or Redis cannot be used.
    """
    private_folder(settings.model_dir)
    configure_logs(settings.log_level)
    await_servers(settings)
    lane: Lane | int = lanes[0]
    if len(lanes) > 1:
        load_jobs(packages)
        kill_children_with_their_parent()
        lane = _Parent().watch(lanes)
    if isinstance(lane, Lane):
        run_worker(settings, queues=LANES[lane], niceness=NICENESS[lane], packages=packages)
        return 0
    return lane


class _Parent:
    """Forks the lanes, passes signals on to them, and replaces those that are killed."""

    def __init__(self) -> None:
        self._running: dict[int, Lane] = {}
        self._ending = False

    def watch(self, lanes: Sequence[Lane]) -> Lane | int:
        """Fork the lanes and wait until all have ended.

        Returns the exit status; in the process of a lane, returns at once, with the lane to be run.
        """
        for number in ENDING:
            signal.signal(number, self._end)
        for lane in lanes:
            if not self._ending and self._fork(lane):
                return lane
        result = 0
        while self._running:
            pid, status = os.wait()
            ended = self._running.pop(pid, None)
            if ended is None or self._ending:
                continue
            code = os.waitstatus_to_exitcode(status)
            if code < 0:
                logger.warning("The %s lane was killed by signal %d; it starts again.", ended, -code)
                time.sleep(RESTART_SECONDS)
                if not self._ending and self._fork(ended):
                    return ended
            else:
                result = code
                self._end()
        return result

    def _fork(self, lane: Lane) -> bool:
        """Fork a process for a lane; True in that process."""
        # A signal must find the lane registered here, and not meet this process's handler there.
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
        try:
            pid = os.fork()
            if pid:
                self._running[pid] = lane
                return False
            for number in ENDING:
                signal.signal(number, signal.SIG_DFL)
            return True
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDING)

    def _end(self, *_: object) -> None:
        self._ending = True
        for pid in list(self._running):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
