"""However a demo ends, no process that it started is left."""

from __future__ import annotations

import os
import signal
import socket
from contextlib import suppress
from pathlib import Path

import pytest

from tests.demos import kill_everything, processes_below, start, stop, wait_for

SMALL = "--rounds 1 --per-round 4 --tasks 12 --test 3 --width 8 --size 160 --seconds 300"


@pytest.mark.parametrize(
    ("phase", "how", "status"),
    [
        # While it starts Label Studio: test_a_taken_port_is_left_alone.
        ("connecting the project", signal.SIGTERM, 143),
        ("training: step", signal.SIGINT, 130),
    ],
)
def test_a_signal_in_any_phase_stops_everything(
    label_studio: Path, tmp_path: Path, phase: str, how: signal.Signals, status: int
) -> None:
    process = start(tmp_path, label_studio, *SMALL.split())
    try:
        wait_for(process, tmp_path, phase, 240)
        ended, left = stop(process, how)
    finally:
        if process.poll() is None:
            kill_everything(process)
    assert not left
    assert ended == status
    assert "Traceback" not in (tmp_path / "said").read_text()


def test_a_killed_worker_ends_the_demo_and_is_reported(label_studio: Path, tmp_path: Path) -> None:
    process = start(tmp_path, label_studio, *SMALL.split())
    try:
        wait_for(process, tmp_path, "uploading images", 240)
        below = processes_below(process.pid)
        worker = next(pid for pid, command in below.items() if command.endswith("ml_backend worker"))
        os.kill(worker, signal.SIGKILL)
        assert process.wait(60) == 1
    finally:
        if process.poll() is None:
            kill_everything(process)
    assert "dsal: The worker ended with status -9" in (tmp_path / "said").read_text()


def test_a_taken_port_is_left_alone(label_studio: Path, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # If another process has the port, the test works just as well.
        with suppress(OSError):
            other.bind(("127.0.0.1", 8080))
            other.listen()
        process = start(tmp_path, label_studio, *SMALL.split())
        try:
            said = wait_for(process, tmp_path, "Port 8080 is taken", 60)
            assert "Label Studio will listen on" in said
            again = start(
                tmp_path / "again", label_studio, *SMALL.split(), "--folder", str(tmp_path / "demo")
            )
            assert again.wait(60) == 1
            assert "Another demo uses" in (tmp_path / "again" / "said").read_text()
            ended, left = stop(process, signal.SIGHUP)
        finally:
            if process.poll() is None:
                kill_everything(process)
    assert not left
    assert ended == 129
