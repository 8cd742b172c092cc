"""Ends what a test process leaves behind, however that process ends: `kill -9` and a crash included.

Servers of the tests have sessions of their own and outlive whoever started them. Each process of pytest has a
keeper: it waits for the end of its parent and then ends every process that carries the parent's mark in its
environment or, as some start with an environment of their own, names the parent's folder for temporary files.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import psutil  # type: ignore[import-untyped]

MARK = "DSAL_TESTS_OF"
LOOK_SECONDS = 0.5


def hire(folder: Path) -> subprocess.Popen[bytes]:
    """Start a keeper of this process, which has its temporary files in `folder`; mark what starts later."""
    os.environ[MARK] = str(os.getpid())
    return subprocess.Popen(
        [sys.executable, __file__, str(os.getpid()), str(folder)],
        stdin=subprocess.DEVNULL,
        # A Ctrl-C must not end the keeper before what it keeps.
        start_new_session=True,
        cwd="/",
    )


def left(parent: int, folder: str) -> list[psutil.Process]:
    """What runs and was started below `folder` or by `parent`."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            environment = process.environ()
            words = [*process.cmdline(), *environment.values()]
            # Somebody may be looking into the folder from a terminal.
            ours = process.terminal() is None and any(_within(word, folder) for word in words)
            if ours or environment.get(MARK) == str(parent):
                found.append(process)
    return [process for process in found if process.pid not in (os.getpid(), parent)]


def _within(word: str, folder: str) -> bool:
    _, here, rest = word.partition(folder)
    return bool(here) and not rest[:1].isdigit()


def main(parent: int, folder: str) -> None:
    """Wait for the end of the parent, then end what it left."""
    while os.getppid() == parent:
        time.sleep(LOOK_SECONDS)
    # One that ends may have just started another.
    while remaining := left(parent, folder):
        for process in remaining:
            with suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(remaining, LOOK_SECONDS)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2])
