"""Jobs for the worker's tests, which record when they begin and end."""

import os
import time
from pathlib import Path


def sleep(record: str, seconds: float) -> None:
    with Path(record).open("a") as lines:
        lines.write(f"begin {os.getpid()} {os.nice(0)}\n")
    time.sleep(seconds)
    with Path(record).open("a") as lines:
        lines.write("end\n")


def fail_once(record: str) -> None:
    first = not Path(record).exists()
    with Path(record).open("a") as lines:
        lines.write("failed\n" if first else "end\n")
    if first:
        raise RuntimeError("The first attempt fails.")
