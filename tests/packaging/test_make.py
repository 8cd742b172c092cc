"""scripts/setup.sh: quick if nothing is missing, complete after an interruption, and its messages."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.packaging.compose_file import ROOT

# The interpreter itself, not a shim that chooses one.
PYTHON = Path(sys.executable).resolve()
TOOLS = "bash cat chmod cp date dirname env find flock grep id mkdir mktemp printf rm sh sleep tail touch"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout whose Label Studio has no requirements, so that its set-up needs no network."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(ROOT / "scripts" / "setup.sh", tmp_path / "scripts")
    (tmp_path / "requirements-label-studio.txt").write_text("")
    return tmp_path


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """A folder for PATH with basic tools only: no Python, no Chromium, no apt-get."""
    folder = tmp_path / "tools"
    folder.mkdir()
    for name in TOOLS.split():
        if found := shutil.which(name):
            (folder / name).symlink_to(found)
    return folder


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def environment(tools: Path | None = None, **extra: str) -> dict[str, str]:
    path = str(tools) if tools else f"{Path(sys.base_prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "HOME": os.environ.get("HOME", "/"), "LANG": "C.UTF-8", **extra}


def set_up(checkout: Path, part: str, given: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", checkout / "scripts" / "setup.sh", part],
        env=given,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def sentence(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode != 0
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_help_lists_every_target() -> None:
    targets = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)
    assert targets
    shown = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.findall(r"^make ([\w-]+) +\w", shown, re.M) == targets[1].split()


def test_the_fast_tests_need_python_packages_alone() -> None:
    planned = subprocess.run(
        ["make", "--no-print-directory", "-n", "test-fast", "ARGS=tests/model -k dice"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    set_up, run = planned.stdout.splitlines()
    assert set_up.split() == ["scripts/setup.sh", "test"]
    words = shlex.split(run)
    assert words[words.index("-m") + 1] == "not label_studio and not browser and not postgresql and not slow"
    assert words[-3:] == ["tests/model", "-k", "dice"]


def test_a_missing_python_is_reported(checkout: Path, tools: Path) -> None:
    said = sentence(set_up(checkout, "label-studio", environment(tools)))
    assert "Python 3.11 is missing" in said
    assert "apt-get install python3.11 python3.11-venv" in said


def test_an_old_python_is_not_used(checkout: Path, tools: Path) -> None:
    program(tools, "python3", "exit 1")
    assert "Python 3.11 is missing" in sentence(set_up(checkout, "label-studio", environment(tools)))


def test_an_unusable_choice_of_python_is_reported(checkout: Path, tools: Path) -> None:
    (tools / "python3.11").symlink_to(PYTHON)
    said = sentence(set_up(checkout, "label-studio", environment(tools, PYTHON="python2.7")))
    assert "PYTHON=python2.7" in said


def test_a_python_without_venv_is_reported(checkout: Path, tools: Path) -> None:
    program(tools, "python3.11", f'case "$*" in *ensurepip*) exit 1;; esac; exec "{PYTHON}" "$@"')
    said = sentence(set_up(checkout, "label-studio", environment(tools)))
    assert "apt-get install python3.11-venv" in said


def test_a_missing_chromium_is_reported_to_a_user_who_cannot_install_it(checkout: Path, tools: Path) -> None:
    (tools / "python3.11").symlink_to(PYTHON)
    (tools / "id").unlink()
    program(tools, "id", "echo 1000")
    assert "sudo apt-get install chromium" in sentence(set_up(checkout, "chromium", environment(tools)))


def test_chromium_is_installed_where_that_is_allowed(checkout: Path, tools: Path) -> None:
    (tools / "python3.11").symlink_to(PYTHON)
    (tools / "id").unlink()
    program(tools, "id", "echo 0")
    program(tools, "apt-get", f'echo "$@" >> "{tools}/asked"')
    assert set_up(checkout, "chromium", environment(tools)).returncode == 0
    assert (tools / "asked").read_text().splitlines()[-1].split()[-1] == "chromium"


@pytest.mark.slow
def test_a_second_run_does_nothing_and_is_quick(checkout: Path) -> None:
    first = set_up(checkout, "label-studio", environment())
    assert first.returncode == 0, first.stderr
    assert "installing requirements-label-studio.txt" in first.stdout
    started = time.monotonic()
    second = set_up(checkout, "label-studio", environment())
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert time.monotonic() - started < 5
    # A changed pin is installed into the existing environment.
    (checkout / "requirements-label-studio.txt").write_text("# changed\n")
    third = set_up(checkout, "label-studio", environment())
    assert "installing" in third.stdout
    assert "making an environment" not in third.stdout


@pytest.mark.slow
def test_a_moved_checkout_is_set_up_again(checkout: Path) -> None:
    """Programs of an environment contain its path; a copied one would run the Python at the old path."""
    folder = checkout / ".venv-label-studio"
    (folder / "bin").mkdir(parents=True)
    (folder / ".setup").mkdir()
    (folder / ".setup" / "made-by").write_text("/elsewhere/.venv-label-studio 3.11")
    (folder / ".setup" / "run").write_text("the stamp of another path")
    (folder / "bin" / "old").touch()
    done = set_up(checkout, "label-studio", environment())
    assert done.returncode == 0, done.stderr
    assert "made at another path" in done.stdout
    assert not (folder / "bin" / "old").exists()


@pytest.mark.slow
def test_an_interrupted_set_up_is_completed(checkout: Path) -> None:
    folder = checkout / ".venv-label-studio"
    interrupted = subprocess.Popen(
        ["bash", checkout / "scripts" / "setup.sh", "label-studio"],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    end = time.monotonic() + 30
    while not (folder / "bin").exists() and time.monotonic() < end:
        time.sleep(0.01)
    os.killpg(interrupted.pid, signal.SIGKILL)
    interrupted.wait()
    assert not (folder / ".setup" / "run").exists()

    again = set_up(checkout, "label-studio", environment())
    assert again.returncode == 0, again.stderr
    assert "is incomplete" in again.stdout
    assert subprocess.run([folder / "bin" / "python", "-m", "pip", "--version"], check=False).returncode == 0


@pytest.mark.slow
def test_a_failed_step_is_reported_and_not_treated_as_done(checkout: Path) -> None:
    (checkout / "requirements-label-studio.txt").write_text("./not-there.whl\n")
    failed = set_up(checkout, "label-studio", environment())
    assert failed.returncode != 0
    assert "not-there.whl" in failed.stderr
    assert "this step failed" in failed.stderr.splitlines()[-1]
    assert not (checkout / ".venv-label-studio" / ".setup" / "run").exists()


def test_an_unknown_part_is_refused(checkout: Path) -> None:
    assert "no part called lunch" in sentence(set_up(checkout, "lunch", environment()))


def test_the_scripts_can_be_run() -> None:
    scripts = [*sorted((ROOT / "scripts").glob("*.sh")), ROOT / ".ci" / "run"]
    assert all(os.access(script, os.X_OK) for script in scripts)
