"""Whatever the tests start ends with them, even if nobody is left to end it."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from tests.keeper import left

# What it starts: a child, one with an environment of its own, and one that makes itself a daemon.
PARENT = """
import os, subprocess, sys, time
from pathlib import Path
from tests import keeper
folder = Path(sys.argv[1])
keeper.hire(folder)
sleep = ["sleep", "300"]
subprocess.Popen(sleep)
subprocess.Popen(sleep, env={"HOME": str(folder / "home")}, start_new_session=True)
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.execvp("sleep", sleep)
    os._exit(0)
os.wait()
print("ready", flush=True)
sys.stdin.read()
"""


def sleepers(parent: int, folder: Path) -> list[psutil.Process]:
    return [process for process in left(parent, str(folder)) if process.name() == "sleep"]


@pytest.mark.parametrize("how", ["killed", "ended"])
def test_nothing_outlives_a_process_of_tests(tmp_path: Path, how: str) -> None:
    folder = tmp_path / "of-the-tests"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert parent.stdin is not None
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"ready\n"
    end = time.monotonic() + 60
    while len(started := sleepers(parent.pid, folder)) < 3:
        assert time.monotonic() < end
    if how == "killed":
        parent.kill()
    parent.stdin.close()
    parent.wait()
    parent.stdout.close()
    while any(_runs(each) for each in started):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_a_folder_of_another_run_is_not_taken_for_ours(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "300"], env={"HOME": f"{tmp_path}/pytest-12/home"}) as other:
        try:
            assert other.pid in [each.pid for each in sleepers(-1, tmp_path / "pytest-12")]
            assert other.pid not in [each.pid for each in sleepers(-1, tmp_path / "pytest-1")]
        finally:
            other.kill()


def _runs(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
