"""Workers that need no imports: forked from a process that has them already.

A `dsal worker` imports for five seconds before it works, longer than most trainings of the tests take, and
the tests start dozens. Each one is a process of its own with its own environment, session and log, and runs
the same command; demos and the compose file's services start theirs the long way.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from ml_backend.demo.processes import ProcessError

STOP_SECONDS = 15.0


class Worker:
    """One running worker."""

    def __init__(self, pid: int, log: Path) -> None:
        self.pid = pid
        self._process = psutil.Process(pid)
        self._log = log

    def check(self) -> None:
        """Raise `ProcessError` if it has ended."""
        if not self._process.is_running():
            words = self._log.read_text(errors="replace").strip().splitlines()[-1:]
            raise ProcessError(f"The worker ended, and said last: {words} (all of it in {self._log})")

    def stop(self) -> None:
        """End it: politely first, for good after `STOP_SECONDS`."""
        with suppress(psutil.NoSuchProcess):
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except psutil.TimeoutExpired:
                self._process.kill()
                self._process.wait(STOP_SECONDS)


class Nursery:
    """The process that forks workers; it ends with whoever started it."""

    def __init__(self) -> None:
        root = str(Path(__file__).parents[2])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.loop.nursery"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=root,
            env={**os.environ, "PYTHONPATH": root},
            start_new_session=True,
        )

    def worker(self, environment: Mapping[str, str], log: Path) -> Worker:
        """Start `dsal worker` with this environment on top of our own; what it says is added to `log`."""
        log.parent.mkdir(parents=True, exist_ok=True)
        order = {"arguments": ["worker"], "environment": {**os.environ, **environment}, "log": str(log)}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        self._process.stdin.flush()
        return Worker(int(self._process.stdout.readline()), log)

    def close(self) -> None:
        """End it; workers are ended by who has them."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.stdout.close()
        self._process.wait()


def _become(arguments: Sequence[str], environment: Mapping[str, str], log: str) -> None:
    """Make this fork what a process started with these arguments, this environment and this log is."""
    import torch

    os.setsid()
    # A Python program is started with the default, and waits for its own children.
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    written = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for there, here in ((nothing, 0), (written, 1), (written, 2)):
        os.dup2(there, here)
    os.environ.clear()
    os.environ.update(environment)
    # Read from the environment when torch is imported.
    torch.set_num_threads(int(environment["OMP_NUM_THREADS"]))
    sys.argv = ["dsal", *arguments]


def _bury(*_: object) -> None:
    """Take note of workers that have ended, so that none stays as a zombie."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def main() -> None:
    """Fork a worker for each order that is read, until there are no more."""
    from ml_backend.cli import main as dsal
    from ml_backend.queue.jobs import functions_in
    from ml_backend.work.worker import JOB_PACKAGES

    functions_in(JOB_PACKAGES)
    signal.signal(signal.SIGCHLD, _bury)
    while line := sys.stdin.readline():
        pid = os.fork()
        if pid == 0:
            _become(**json.loads(line))
            dsal()
        print(pid, flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
