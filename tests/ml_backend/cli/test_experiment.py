"""`dsal experiment` stopped, killed, resumed, and with invalid options."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from model.loss import LossWeights
from model.research.experiment.collection import ImageSource
from model.research.experiment.report import write_table
from model.research.experiment.rounds import run_rounds
from model.research.experiment.settings import ExperimentSettings
from tests.ml_backend.cli.conftest import Run
from tests.small_set import write_small_set

SETTINGS = ExperimentSettings(
    arms=("random", "consistency"),
    seeds=2,
    start=3,
    per_round=2,
    rounds=2,
    width=4,
    size=48,
    steps=4,
    batch=2,
    # The set has one label.
    loss=LossWeights(dice=0.0),
)
OPTIONS = [
    *("--arms", "random,consistency", "--seeds", 2, "--start", 3, "--per-round", 2, "--rounds", 2),
    *("--width", 4, "--size", 48, "--steps", 4, "--batch", 2),
]
PATIENCE = 120


@pytest.fixture(scope="module")
def small_set(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images and masks."""
    folder = tmp_path_factory.mktemp("small-set")
    write_small_set(folder)
    return folder


def command(small_set: Path, out: Path, *more: object) -> list[str]:
    folders = ("--images", small_set / "images", "--masks", small_set / "masks", "--out", out)
    return [str(word) for word in ("experiment", *folders, *OPTIONS, *more)]


def rounds_done(out: Path) -> int:
    return len(list(out.rglob("*.npz")))


def interrupt_after(words: list[str], out: Path, rounds: int) -> tuple[int, str]:
    """Interrupt a command, as Ctrl-C does, once this many rounds are done; return its status and messages.

    It has a process of its own: an interrupt of this one that comes too late ends all tests.
    """
    running = started(words)
    await_rounds(running, out, rounds)
    running.send_signal(signal.SIGINT)
    said, _ = running.communicate(timeout=PATIENCE)
    return running.returncode, said


def kill_after(words: list[str], out: Path, rounds: int) -> list[psutil.Process]:
    """Kill a command once this many rounds are done; return the processes that it had started."""
    running = started(words)
    await_rounds(running, out, rounds)
    children: list[psutil.Process] = psutil.Process(running.pid).children(recursive=True)
    running.kill()
    running.communicate(timeout=PATIENCE)
    return children


def started(words: list[str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "ml_backend", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def await_rounds(running: subprocess.Popen[str], out: Path, rounds: int) -> None:
    deadline = time.monotonic() + PATIENCE
    while rounds_done(out) < rounds:
        assert running.poll() is None, running.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.slow
def test_stopped_killed_and_resumed_it_ends_with_the_same_table(
    run: Run, small_set: Path, tmp_path: Path
) -> None:
    source = ImageSource(small_set / "images", small_set / "masks")
    whole = write_table(run_rounds(SETTINGS, source, tmp_path / "whole"), tmp_path / "whole").read_bytes()
    out = tmp_path / "out"

    status, said = interrupt_after(command(small_set, out, "--processes", 1), out, 1)
    assert status == 130
    assert "the same command resumes from here" in said
    stopped = rounds_done(out)
    assert 1 <= stopped < 12

    children = kill_after(command(small_set, out, "--processes", 2), out, stopped + 1)
    assert len(children) >= 2
    assert psutil.wait_procs(children, timeout=PATIENCE)[1] == [], "no process is left behind"
    kept = {path: path.stat().st_mtime_ns for path in out.rglob("*.npz")}
    assert stopped < len(kept) < 12

    results = run_rounds(SETTINGS, source, out)
    assert all(path.stat().st_mtime_ns == written for path, written in kept.items()), "nothing is done twice"
    assert write_table(results, out).read_bytes() == whole

    status, _, said = run(*command(small_set, out, "--steps", 5))
    assert status == 2
    assert "steps 4, not 5" in said.splitlines()[-1]


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--phantom", "--images", "."], "--phantom"),
        (["--arms", "random,nosuch"], "nosuch"),
        (["--split", "1,2"], "139,20,50"),
        (["--arms", ""], "no arm"),
        (["--loss-weights", "0,0,0"], "(0.0, 0.0, 0.0)"),
    ],
)
def test_wrong_use_is_one_sentence_and_status_2(
    run: Run, options: list[str], named: str, tmp_path: Path
) -> None:
    status, printed, said = run("experiment", "--out", tmp_path / "out", *options)
    assert (status, printed) == (2, "")
    assert said.startswith("dsal: ")
    assert said.count("\n") == 1
    assert named in said
    assert not (tmp_path / "out").exists()


def test_without_its_packages_the_command_says_what_to_install(tmp_path: Path) -> None:
    hidden = "import sys; sys.modules['scipy'] = None; from ml_backend.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", hidden, "experiment", "--phantom", "--out", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("dsal: Experiments need scipy: pip install -r requirements-experiment.txt")
