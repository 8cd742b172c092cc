"""Child processes and signals of a demo: whatever ends it, no process is left behind."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

import requests

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Make this process a subreaper: the kernel makes it the parent of descendants whose own parent ends.

    So `descendants` also finds a Redis that has daemonised, or a job whose worker was killed.
    """
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1)


def descendants() -> list[int]:
    """Process ids of all descendants of this process, without zombies."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The command name, in parentheses, may contain anything; state and parent follow it.
            state, parent = stat.read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state not in ("Z", "X"):
                children.setdefault(int(parent), []).append(int(stat.parent.name))
    found: list[int] = []
    generation = [os.getpid()]
    while generation:
        generation = [child for parent in generation for child in children.get(parent, [])]
        found += generation
    return found


def end_descendants(patience: float) -> None:
    """End all descendants: by SIGTERM, and those left after `patience` seconds by SIGKILL."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + patience
        for pid in descendants():
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        while descendants() and time.monotonic() < deadline:
            time.sleep(0.05)


ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that end a demo: Ctrl-C, `kill`, and a closed terminal."""


class Interrupted(BaseException):
    """One of `ENDING` arrived; `number` is the signal's number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class Signals:
    """While open, the first signal of `ENDING` raises `Interrupted`; later ones are ignored."""

    def __enter__(self) -> Self:
        self._previous = {number: signal.signal(number, self._interrupt) for number in ENDING}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def ignore(self) -> None:
        """Ignore further signals, until this is closed."""
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)

    def _interrupt(self, number: int, _frame: FrameType | None) -> None:
        self.ignore()
        raise Interrupted(number)


STOP_SECONDS = 15.0


class ProcessError(RuntimeError):
    """A process did not start, or ended; the message names its log."""


def free_port(preferred: int = 0) -> int:
    """The preferred port of 127.0.0.1 if nothing listens there, else any free one."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", 0 if _is_used(preferred) else preferred))
        except OSError:
            probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _is_used(port: int) -> bool:
    """Whether something answers at localhost, which a browser may first resolve to ::1."""
    try:
        socket.create_connection(("localhost", port), timeout=1).close()
    except OSError:
        return False
    return True


@dataclass
class Processes:
    """`dsal` commands as child processes, each with its own log file.

    Attributes:
        logs: folder of the log files.
        environment: variables for the children, in addition to this process's.
    """

    logs: Path
    environment: Mapping[str, str]
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str, arguments: Sequence[str]) -> int:
        """Start `dsal ARGUMENTS` and return its process id; `name` is used for the log and in messages."""
        self.logs.mkdir(parents=True, exist_ok=True)
        with self._log(name).open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "ml_backend", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **self.environment},
                # Ctrl-C in the terminal must reach only the demo, which then stops its children in order.
                start_new_session=True,
            )
        self._running[name] = process
        return process.pid

    def check(self) -> None:
        """Raise `ProcessError` if a child has ended."""
        for name, process in self._running.items():
            status = process.poll()
            if status is not None:
                raise ProcessError(
                    f"The {name} ended with status {status}; its last output was: {self._last_line(name)} "
                    f"(the log is {self._log(name)})"
                )

    def wait_until_healthy(self, url: str, seconds: float = 60.0) -> None:
        """Wait until `url` answers 200.

        Raises:
            ProcessError: a child ended, or `seconds` have passed.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.check()
            try:
                if requests.get(url, timeout=2).ok:
                    return
            except requests.RequestException:
                time.sleep(0.2)
        raise ProcessError(f"{url} did not answer within {seconds:.0f} s; see the logs in {self.logs}.")

    def stop(self) -> None:
        """End all children, last started first: by SIGTERM, and after `STOP_SECONDS` by SIGKILL."""
        for process in reversed(self._running.values()):
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        for process in self._running.values():
            try:
                process.wait(max(deadline - time.monotonic(), 0.1))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running.clear()

    def _log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def _last_line(self, name: str) -> str:
        lines = self._log(name).read_text(errors="replace").strip().splitlines()
        return lines[-1].strip() if lines else "nothing"
