"""Process ids from which any other process can tell whether the process is certainly dead."""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True)
class ProcessId:
    """One process: host, pid namespace, pid, and start time in clock ticks since boot.

    A pid alone is ambiguous: it may be reused, and differs between containers. The start time and the
    namespace resolve both.
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
        """The process id that `str` wrote, or None for any other text."""
        parts = text.rsplit("_", 3)
        if len(parts) != 4 or not (parts[2].isdigit() and parts[3].isdigit()):
            return None
        return cls(parts[0], parts[1], int(parts[2]), int(parts[3]))

    def alive(self) -> bool | None:
        """Whether the process is alive; None if it is on another host or in another pid namespace."""
        if self.host != socket.gethostname() or self.namespace != _namespace():
            return None
        return start_ticks(self.pid) == self.started


def alive(text: str) -> bool | None:
    """Whether the process written as `text` is alive; None if unknown."""
    process = ProcessId.parse(text)
    return None if process is None else process.alive()


def start_ticks(pid: int) -> int | None:
    """Start time of a process in clock ticks since boot; None if it has ended or is a zombie."""
    try:
        stat = (PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command's name is in parentheses and may itself contain spaces and parentheses.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in {"Z", "X"} else int(fields[19])


def _namespace() -> str:
    link = str((PROC / "self/ns/pid").readlink())
    return link.removeprefix("pid:[").removesuffix("]")
