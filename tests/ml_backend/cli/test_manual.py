"""`dsal --help`, and the sentences for invalid options and settings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import pytest

from tests.ml_backend.cli.conftest import Run

COMMANDS = (
    "serve",
    "worker",
    "connect",
    "disconnect",
    "import-dicom",
    "export",
    "predict",
    "status",
    "doctor",
    "train",
    "score",
    "pretrain",
    "reconcile",
    "projects",
    "versions",
    "publish",
    "rollback",
    "pause",
    "resume",
    "suspicious",
    "experiment",
    "phantom",
    "demo",
)


Told = tuple[int, str, str]
"""Exit status, standard output and standard error."""
Dsal = Callable[..., Told]
TERMINAL = {"COLUMNS": "100"}


def process(*arguments: str, **environment: str) -> Told:
    """Run `dsal` in a new process, on a terminal of 100 columns."""
    done = subprocess.run(
        [sys.executable, "-m", "ml_backend", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **TERMINAL, **environment},
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture
def dsal(run: Run, monkeypatch: pytest.MonkeyPatch) -> Dsal:
    """The same in this process, which has the imports already."""

    def dsal(*arguments: str, **environment: str) -> Told:
        for name, value in (TERMINAL | environment).items():
            monkeypatch.setenv(name, value)
        return run(*arguments)

    return dsal


@pytest.mark.parametrize(("arguments", "environment"), [(["train"], {}), (["serve"], {"PORT": "abc"})])
def test_a_process_of_its_own_says_the_same(
    dsal: Dsal, arguments: list[str], environment: dict[str, str]
) -> None:
    assert process(*arguments, **environment) == dsal(*arguments, **environment)


def test_the_manual_lists_every_command_with_what_it_does() -> None:
    status, manual, _ = process("--help")
    assert status == 0
    for command in COMMANDS:
        assert any(line.split()[1:2] == [command] and len(line.split()) > 5 for line in manual.splitlines())


def test_the_version_is_that_of_the_installed_package() -> None:
    status, printed, said = process("--version")
    assert (status, printed, said) == (0, f"dsal {version('dsal')}\n", "")
    assert re.fullmatch(r"dsal \d+\.\d+\.\d+\n", printed)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_an_example_and_fits_100_columns(dsal: Dsal, command: str) -> None:
    status, manual, _ = dsal(command, "--help")
    assert status == 0
    assert "Example" in manual
    assert f"dsal {command}" in manual.split("Example")[1]
    assert "**" not in manual
    assert "`" not in manual
    assert max(map(len, manual.splitlines())) <= 100


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["nosuch"], "nosuch"),
        (["demo", "--folde", "x"], "--folder"),
        (["demo", "--rounds", "many"], "--rounds"),
        (["demo", "--rounds", "0"], "--rounds"),
        (["demo", "--images", "."], "--masks"),
        (["demo", "--paper", "--strategy", "disagreement+clusters"], "--strategy"),
        (["phantom"], "--out"),
        (["phantom", "--out", "x", "--groups", "20"], "--groups"),
        (["import-dicom", "."], "--project"),
        (["import-dicom", "does-not-exist", "--project", "1"], "does-not-exist"),
        (["train"], "--images"),
        (["train", "--images", "does-not-exist"], "does-not-exist"),
        (["score", "--version", "x"], "--out"),
        (["pretrain", "--out", "x"], "--hours"),
        (["doctor", "--backend", "backend:9090"], "--backend"),
    ],
)
def test_wrong_use_is_one_sentence_and_status_2(dsal: Dsal, arguments: list[str], named: str) -> None:
    status, printed, said = dsal(*arguments)
    assert status == 2
    assert printed == ""
    assert said.startswith("dsal: ")
    assert said.count("\n") == 1
    assert named in said


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
def test_a_wrong_setting_is_named(dsal: Dsal, command: str, settings: dict[str, str], sentence: str) -> None:
    status, _, said = dsal(command, **settings)
    assert status == 2
    assert said == f"dsal: {sentence}\n"


def test_servers_that_do_not_answer_are_named(dsal: Dsal, tmp_path: Path) -> None:
    status, _, said = dsal("status", MODEL_DIR=str(tmp_path), REDIS_URL="redis://127.0.0.1:1")
    assert status == 1
    assert "REDIS_URL" in said
    assert "Traceback" not in said
    status, _, said = dsal("status", MODEL_DIR=str(tmp_path), DATABASE_URL="postgresql://127.0.0.1:1/dsal")
    assert status == 1
    assert "DATABASE_URL" in said
    assert "Traceback" not in said
