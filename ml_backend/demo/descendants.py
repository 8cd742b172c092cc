"""Every process below this one, also those whose parent has gone: so that nothing outlives a demo."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from contextlib import suppress
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans() -> None:
    """Have the kernel make this process the parent of descendants whose own parent ends.

    A Redis that made itself a daemon, or a job whose worker was killed, stays below us and can be found.
    """
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1)


def descendants() -> list[int]:
    """Process ids of all running processes below this one; zombies do not count."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            # The command name, in brackets, may hold anything; state and parent follow it.
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
    """End all of them: politely, and after `patience` seconds for good."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        deadline = time.monotonic() + patience
        for pid in descendants():
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        while descendants() and time.monotonic() < deadline:
            time.sleep(0.05)
