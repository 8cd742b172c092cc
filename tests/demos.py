"""A `dsal demo` that runs for the tests: as a child process, the way a user starts it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

START_SECONDS = 1500
STOP_SECONDS = 30


@dataclass
class Demo:
    """A demo that has played its rounds and stays up.

    Attributes:
        url: the address it told to open; email, password: how to log in there.
        report: what it wrote with --report.
        folder: its data.
        said: all that it printed.
    """

    process: subprocess.Popen[bytes]
    url: str
    email: str
    password: str
    report: dict[str, Any]
    folder: Path
    said: str

    @property
    def last(self) -> dict[str, Any]:
        """The report of the last round."""
        last: dict[str, Any] = self.report["rounds"][-1]
        return last


def start(folder: Path, label_studio: Path, *options: str) -> subprocess.Popen[bytes]:
    """Start `dsal demo` in a folder; what it prints goes to `folder/said`."""
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "ml_backend", "demo", "--folder", str(folder / "demo")]
    with (folder / "said").open("wb") as said:
        return subprocess.Popen(
            [*command, "--label-studio", str(label_studio), *options],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )


def play(folder: Path, label_studio: Path, options: Sequence[str]) -> Demo:
    """Play a demo until it says where to log in."""
    report = folder / "report.json"
    process = start(folder, label_studio, "--report", str(report), *options)
    said = wait_for(process, folder, "Ctrl-C stops everything.", START_SECONDS)
    url = re.search(r"^Label Studio: (\S+)$", said, re.MULTILINE)
    login = re.search(r"^Log in as (\S+) with password (\S+)$", said, re.MULTILINE)
    assert url is not None, said
    assert login is not None, said
    return Demo(process, url[1], login[1], login[2], json.loads(report.read_text()), folder, said)


def wait_for(process: subprocess.Popen[bytes], folder: Path, sentence: str, seconds: float) -> str:
    """Wait until the demo has printed a sentence; returns all that it printed."""
    deadline = time.monotonic() + seconds
    while True:
        said = (folder / "said").read_text()
        if sentence in said:
            return said
        assert process.poll() is None, f"The demo ended early:\n{said}"
        assert time.monotonic() < deadline, f'The demo did not say "{sentence}":\n{said}'
        time.sleep(0.1)


def processes_below(pid: int) -> dict[int, str]:
    """Command lines of all processes below one, by process id."""
    listing = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
    rows = [line.split(None, 2) for line in listing.stdout.splitlines()]
    found: dict[int, str] = {}
    parents = {pid}
    while parents:
        below = {int(row[0]): row[2] for row in rows if int(row[1]) in parents}
        found |= below
        parents = set(below)
    return found


def stop(process: subprocess.Popen[bytes], how: signal.Signals = signal.SIGINT) -> tuple[int, dict[int, str]]:
    """End a demo by a signal; returns its exit status, and what it started and left running."""
    started = processes_below(process.pid)
    process.send_signal(how)
    status = process.wait(STOP_SECONDS)
    return status, {pid: command for pid, command in started.items() if _runs(pid)}


def kill_everything(process: subprocess.Popen[bytes]) -> None:
    """Take down a demo that a failed test left, and all below it."""
    for pid in (*processes_below(process.pid), process.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    process.wait()


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
