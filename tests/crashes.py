"""How a process of pytest ended that crashed: xdist itself only says that it is gone."""

from __future__ import annotations

import signal
import subprocess
from pathlib import Path

PATIENCE = 10.0
OF_INTEREST = ("MemTotal", "MemAvailable", "SwapFree")


def ending(process: subprocess.Popen[bytes] | None) -> str:
    """What ended the process, and how much memory the machine has left."""
    if process is None:
        return "how it ended is not known"
    try:
        code = process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        return f"process {process.pid} still runs, but has closed its connection; {_memory()}"
    how = f"ended by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"
    return f"process {process.pid} {how}; {_memory()}"


def _memory() -> str:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return ", ".join(" ".join(line.split()) for line in lines if line.partition(":")[0] in OF_INTEREST)
