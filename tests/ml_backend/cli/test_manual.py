"""`dsal --help`, and the sentences for invalid options and settings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

COMMANDS = (
    "serve",
    "worker",
    "connect",
    "status",
    "doctor",
    "train",
    "score",
    "pretrain",
    "reconcile",
    "projects",
    "experiment",
    "phantom",
    "demo",
)


def dsal(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `dsal` in a new process, on a terminal of 100 columns."""
    return subprocess.run(
        [sys.executable, "-m", "ml_backend", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "100", **environment},
        check=False,
    )


def test_the_manual_lists_every_command_with_what_it_does() -> None:
    manual = dsal("--help")
    assert manual.returncode == 0
    for command in COMMANDS:
        assert any(
            line.split()[1:2] == [command] and len(line.split()) > 5 for line in manual.stdout.splitlines()
        )


def test_the_version_is_that_of_the_installed_package() -> None:
    done = dsal("--version")
    assert (done.returncode, done.stdout, done.stderr) == (0, f"dsal {version('dsal')}\n", "")
    assert re.fullmatch(r"dsal \d+\.\d+\.\d+\n", done.stdout)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example_and_fits_100_columns(command: str) -> None:
    manual = dsal(command, "--help")
    assert manual.returncode == 0
    assert "Example" in manual.stdout
    assert f"dsal {command}" in manual.stdout.split("Example")[1]
    assert "**" not in manual.stdout
    assert "`" not in manual.stdout
    assert max(map(len, manual.stdout.splitlines())) <= 100


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nosuch"], "nosuch"),
        (["demo", "--folde", "x"], "--folder"),
        (["demo", "--rounds", "many"], "--rounds"),
        (["demo", "--rounds", "0"], "--rounds"),
        (["demo", "--images", "."], "--masks"),
        (["phantom"], "--out"),
        (["phantom", "--out", "x", "--groups", "20"], "--groups"),
        (["train"], "--images"),
        (["train", "--images", "does-not-exist"], "does-not-exist"),
        (["score", "--version", "x"], "--out"),
        (["pretrain", "--out", "x"], "--hours"),
        (["doctor", "--backend", "backend:9090"], "--backend"),
    ],
)
def test_wrong_use_is_one_sentence_and_status_2(arguments: list[str], named: str) -> None:
    done = dsal(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("dsal: ")
    assert done.stderr.count("\n") == 1
    assert named in done.stderr


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"PORT": "abc"}, "PORT must be a valid integer, not 'abc'."),
        ({"TRAIN_STEPS": "0"}, "TRAIN_STEPS must be greater than 0, not '0'."),
        ({"LOG_LEVEL": "LOUD"}, "LOG_LEVEL must be 'DEBUG', 'INFO', 'WARNING' or 'ERROR', not 'LOUD'."),
        ({"BASIC_AUTH_USER": "me"}, "Set BASIC_AUTH_USER and BASIC_AUTH_PASS together, or neither."),
    ],
)
@pytest.mark.parametrize("command", ["serve", "status"])
def test_a_wrong_setting_is_named(command: str, settings: dict[str, str], sentence: str) -> None:
    done = dsal(command, **settings)
    assert done.returncode == 2
    assert done.stderr == f"dsal: {sentence}\n"


def test_servers_that_do_not_answer_are_named(tmp_path: Path) -> None:
    done = dsal("status", MODEL_DIR=str(tmp_path), REDIS_URL="redis://127.0.0.1:1")
    assert done.returncode == 1
    assert "REDIS_URL" in done.stderr
    assert "Traceback" not in done.stderr
    done = dsal("status", MODEL_DIR=str(tmp_path), DATABASE_URL="postgresql://127.0.0.1:1/dsal")
    assert done.returncode == 1
    assert "DATABASE_URL" in done.stderr
    assert "Traceback" not in done.stderr
