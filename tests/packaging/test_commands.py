"""Every command in the documents works: a rule checks each, and what takes seconds is run as written."""

from __future__ import annotations

import csv
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.framework import CREATE, START
from tests.ml_backend.cli.conftest import Run
from tests.ml_backend.cli.conftest import run as run  # a fixture
from tests.packaging import documents
from tests.packaging.commands import MENTIONS, UncheckedError, check, is_command
from tests.packaging.compose_file import ROOT


@pytest.mark.parametrize(("document", "line"), documents.commands())
def test_a_command_can_be_given_as_written(document: str, line: str) -> None:
    check(line)


@pytest.mark.parametrize(
    ("document", "code"), [found for found in documents.mentions() if is_command(found[1])]
)
def test_a_command_in_a_sentence_exists(document: str, code: str) -> None:
    check(code.replace(" …", ""), MENTIONS)


@pytest.mark.parametrize(
    "line",
    [
        "make dinner",
        'make test ARGS="tests/dinner"',
        'make demo ARGS="--dinner"',
        "docker compose exec cook dsal status",
        "docker compose exec backend cook",
        ".venv/bin/dsal status --dinner",
        ".venv/bin/dsal projects dinner 3",
        "dsal export --project 3",
        "pip install -r dinner.txt",
        "pip install dinner",
        'pip install "dsal[dinner]"',
        "label-studio-ml create dinner",
        "torchrun --no-python dsal train --dinner",
        "scripts/setup.sh dinner",
        "export DINNER=1",
        "cp dinner.txt .env",
        "apt-get install dinner",
    ],
)
def test_a_wrong_or_unknown_command_is_noticed(line: str) -> None:
    with pytest.raises((Exception, SystemExit)):
        check(line)


def test_a_wrong_option_in_a_sentence_is_noticed() -> None:
    with pytest.raises(AssertionError, match="--dinner"):
        check("dsal connect --dinner", MENTIONS)
    with pytest.raises(UncheckedError):
        check("cook dinner", MENTIONS)


def test_every_block_has_a_language_so_that_no_command_is_overlooked() -> None:
    found = [(one.document, one.language) for one in documents.blocks()]
    assert [one for one in found if one[1] not in documents.LANGUAGES] == []
    assert len(found) > 40


def test_the_framework_is_started_as_its_own_test_does() -> None:
    given = [line for _, line in documents.commands()]
    assert [line for line in given if line.startswith("label-studio-ml ")] == [CREATE, START]
    # The script imports dsal, so dsal has to be installed as well.
    assert any(line.startswith("pip install ") and "." in line.split() for line in given)


def test_the_commands_for_researchers_make_masks_and_scores(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = [shlex.split(line) for document, line in documents.commands() if document == "README.md"]
    ours = [
        words[1:]
        for words in given
        if words[0] == ".venv/bin/dsal" and words[1] in ("phantom", "train", "score")
    ]
    assert [words[0] for words in ours] == ["phantom", "train", "score"]
    monkeypatch.chdir(tmp_path)
    for words in ours:
        status, _, said = run(*words)
        assert status == 0, said
    with (tmp_path / "scores.csv").open(newline="") as file:
        scored = list(csv.DictReader(file))
    images = {path.stem for path in (tmp_path / "hands" / "images").iterdir()}
    assert len(scored) == len(images)
    assert {path.stem for path in (tmp_path / "scores-masks").iterdir()} == images
    # A network that has learned nothing agrees with itself on nothing.
    assert float(scored[0]["score"]) > 0.5


def test_the_shell_s_own_commands_do_what_the_pages_say(tmp_path: Path) -> None:
    for name in (".env.example", "requirements.txt"):
        shutil.copy(ROOT / name, tmp_path)
    ran = [line for _, line in documents.commands() if line.split()[0] in ("cp", "grep")]
    for line in ran:
        subprocess.run(["sh", "-c", line], cwd=tmp_path, check=True)
    assert (tmp_path / ".env").read_text() == (ROOT / ".env.example").read_text()
    whole = (ROOT / "requirements.txt").read_text().splitlines()
    kept = (tmp_path / "pins.txt").read_text().splitlines()
    assert [line.split("==")[0] for line in whole if line not in kept] == ["python-dateutil"]
