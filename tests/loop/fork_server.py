"""A fork server for workers: a process with all imports done, from which workers are forked.

A `dsal worker` spends five seconds on imports, longer than most trainings of the tests, and the tests start
dozens of workers. A forked worker is a separate process with its own environment, session and log, and runs
the same command. Demos and the services of the compose file start their workers the usual way.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from ml_backend.demo.processes import ProcessError
from tests.forking import ForkingProcess

STOP_SECONDS = 15.0


class Worker:
    """One running worker."""

    def __init__(self, pid: int, log: Path) -> None:
        self.pid = pid
        self._process = psutil.Process(pid)
        self._log = log

    def check(self) -> None:
        """Raise `ProcessError` if the worker has ended."""
        if not self._process.is_running():
            last = self._log.read_text(errors="replace").strip().splitlines()[-1:]
            raise ProcessError(f"The worker has ended; its last line was {last} (full log: {self._log}).")

    def stop(self) -> None:
        """Terminate the worker, and kill it after `STOP_SECONDS`."""
        with suppress(psutil.NoSuchProcess):
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except psutil.TimeoutExpired:
                self._process.kill()
                self._process.wait(STOP_SECONDS)


class ForkServer(ForkingProcess):
    """The process that forks workers, which keep running when it ends."""

    def __init__(self) -> None:
        super().__init__("tests.loop.fork_server")

    def worker(self, environment: Mapping[str, str], log: Path) -> Worker:
        """Start `dsal worker` with `environment` added to our own; its output is appended to `log`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        request = {"arguments": ["worker"], "environment": {**os.environ, **environment}, "log": str(log)}
        return Worker(self.ask(request), log)


def _become(arguments: Sequence[str], environment: Mapping[str, str], log: str) -> None:
    """Make this fork equivalent to a new process with these arguments, environment and log."""
    import torch

    os.setsid()
    # The default of a new Python process, which waits for its own children.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    output = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    empty = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((empty, 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.environ.clear()
    os.environ.update(environment)
    # torch reads OMP_NUM_THREADS only when it is imported.
    torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))
    sys.argv = ["dsal", *arguments]


def _reap(*_: object) -> None:
    """Reap workers that have ended, so that none stays a zombie."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main() -> None:
    """Fork a worker for each request on standard input, until it is closed."""
    from ml_backend.cli import main as dsal
    from ml_backend.work.worker import JOB_PACKAGES, load_jobs

    load_jobs(JOB_PACKAGES)
    signal.signal(signal.SIGCHLD, _reap)
    while line := sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            _become(**json.loads(line))
            dsal()
        print(pid, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
