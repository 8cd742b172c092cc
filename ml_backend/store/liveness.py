"""Who holds a lease: a process named so that any other process can tell whether it is surely dead."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class ProcessId:
    """One process: host, pid namespace, pid, and its start in clock ticks since boot.

    A pid alone may be given again, and means something else in another container; the start time and the
    namespace settle both.
    """

    host: str
    namespace: str
    pid: int
    started: int

    def __str__(self) -> str:
        return f"{self.host}_{self.namespace}_{self.pid}_{self.started}"

    @classmethod
    def current(cls) -> ProcessId:
        """This process."""
        pid = os.getpid()
        return cls(socket.gethostname(), _namespace(), pid, start_ticks(pid) or 0)

    @classmethod
    def parse(cls, text: str) -> ProcessId | None:
        """The owner that `str` wrote, or None for any other text."""
        parts = text.rsplit("_", 3)
        if len(parts) != 4 or not (parts[2].isdigit() and parts[3].isdigit()):
            return None
        return cls(parts[0], parts[1], int(parts[2]), int(parts[3]))

    def alive(self) -> bool | None:
        """Whether the process lives; None on another host or pid namespace, where nobody can know."""
        if self.host != socket.gethostname() or self.namespace != _namespace():
            return None
        return start_ticks(self.pid) == self.started


def alive(text: str) -> bool | None:
    """Whether the owner written as `text` lives; None where it cannot be known."""
    owner = ProcessId.parse(text)
    return None if owner is None else owner.alive()


def _namespace() -> str:
    link = str((PROC / "self/ns/pid").readlink())
    return link.removeprefix("pid:[").removesuffix("]")


def start_ticks(pid: int) -> int | None:
    """Start of a process in clock ticks since boot; None for a process that is gone or a zombie."""
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name stands in brackets and may hold spaces and brackets itself.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else int(fields[19])
