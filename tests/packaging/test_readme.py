"""The instructions in the README and the guides can be followed as written.

A command in a `console` block is checked by what it is: make's targets exist and pass on options that `dsal`
knows (the targets themselves run in CI, the demo in its own test); a command for Docker names services and
programs of docker-compose.yml, which test_compose_runs.py starts; `dsal` accepts its arguments; pip installs
what is there; the framework's commands are those that test_framework_start.py runs.
"""

from __future__ import annotations

import re
import shlex
import subprocess
import textwrap
from collections.abc import Iterator
from dataclasses import fields
from itertools import pairwise
from pathlib import Path

import pytest
import typer
import yaml
from compose_spec import PyOptions

from ml_backend.cli.app import app
from ml_backend.label_studio.config import Knobs, parse
from ml_backend.label_studio.http_client import CERTIFICATES
from ml_backend.label_studio.regions.forms import FORMS
from ml_backend.settings import Settings
from ml_backend.web import framework as adapter
from scripts import science_tables
from scripts.settings_table import README, filled
from tests import framework
from tests.packaging import compose_file
from tests.packaging.compose_file import ROOT

DOCUMENTS = [
    "README.md",
    "docs/operations.md",
    "docs/label-studio-setup.md",
    "docs/dicom.md",
    "docs/experiments.md",
    "docs/science.md",
]
FENCE = re.compile(r"^( *)```(\w+)\n(.*?)^\1```$", re.M | re.S)
OTHER_PROGRAMS = {("label-studio", "tar"), ("worker", "tar"), ("backend", "cat")} | {
    ("postgres", name) for name in ("psql", "pg_dump", "pg_restore")
}
COMPOSE_VERBS = {"up", "ps", "logs", "exec", "build", "run", "restart", "config"}


def blocks(language: str) -> Iterator[tuple[str, str]]:
    for document in DOCUMENTS:
        for match in FENCE.finditer((ROOT / document).read_text(encoding="utf-8")):
            if match[2] == language:
                yield document, match[3]


def commands() -> list[str]:
    return [line for _, block in blocks("console") for line in block.splitlines() if line.strip()]


def check_dsal(words: list[str]) -> None:
    """Have the application parse the arguments, without running the command."""
    group = typer.main.get_command(app)
    with group.make_context("dsal", list(words), resilient_parsing=True) as context:
        name, command, rest = group.resolve_command(context, list(words))  # type: ignore[attr-defined]
        command.make_context(name, rest, parent=context).close()


def check_make(words: list[str]) -> None:
    planned = subprocess.run(["make", "-n", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert planned.returncode == 0, planned.stderr
    for line in planned.stdout.splitlines():
        if line.startswith(".venv/bin/dsal "):
            check_dsal(shlex.split(line)[1:])


def check_compose(words: list[str]) -> None:
    services = set(compose_file.raw()["services"])
    verb, *rest = words
    assert verb in COMPOSE_VERBS
    plain = [word for word in rest if not word.startswith("-")]
    if verb in ("exec", "run"):
        if "--entrypoint" in rest:
            program, service, *arguments = rest[rest.index("--entrypoint") + 1 :]
        else:
            service, program, *arguments = rest[rest.index(plain[0]) :]
        assert service in services
        if program == "dsal":
            check_dsal(arguments)
        else:
            assert (service, program) in OTHER_PROGRAMS
    elif "--scale" in rest:
        assert plain[0].split("=")[0] in services
    else:
        assert set(plain) - {"TORCH_INDEX_URL=ADDRESS", "PYTHON_IMAGE=NAME@DIGEST"} <= services


def check_pip(words: list[str]) -> None:
    verb, *rest = words
    assert verb == "install"
    for before, word in pairwise(["", *rest]):
        if before == "-r":
            assert (ROOT / word).is_file()
        elif word == ".":
            assert (ROOT / "pyproject.toml").is_file()
        elif not word.startswith("-"):
            # On no registry: the file that lists its requirements names the same address.
            assert word in (ROOT / "requirements-framework.txt").read_text(encoding="utf-8")


def check(line: str) -> None:
    first, *rest = shlex.split(re.split(r"\s[<>]\s", line)[0])
    if first == "make":
        check_make(rest)
    elif [first, *rest[:1]] == ["docker", "compose"]:
        check_compose(rest[1:])
    elif first == ".venv/bin/dsal":
        check_dsal(rest)
    elif first == "pip":
        check_pip(rest)
    elif first == "label-studio-ml":
        assert line in (framework.CREATE, framework.START)
    elif first == "cp":
        assert (ROOT / rest[0]).is_file()
    elif first == "export":
        assert rest[0].split("=")[0].lower() in Settings.model_fields
    else:
        pytest.fail(f"nothing checks this command: {line}")


@pytest.mark.parametrize("line", commands())
def test_a_command_can_be_given_as_written(line: str) -> None:
    check(line)


def test_an_unknown_command_would_be_noticed() -> None:
    for line in (
        "make dinner",
        "docker compose exec cook dsal status",
        ".venv/bin/dsal status --dinner",
        "pip install -r dinner.txt",
        "pip install dinner",
        "label-studio-ml create dinner",
    ):
        with pytest.raises((AssertionError, Exception)):
            check(line)


def test_the_framework_is_started_as_its_own_test_does() -> None:
    assert [block for _, block in blocks("python")] == [framework.MODEL]
    assert [line for line in commands() if line.startswith("label-studio-ml ")] == [
        framework.CREATE,
        framework.START,
    ]
    # The script imports dsal, so dsal has to be installed as well.
    assert any(line.startswith("pip install ") and "." in line.split() for line in commands())
    assert textwrap.indent(framework.MODEL, "    ") in (adapter.__doc__ or "")


def test_the_settings_table_is_up_to_date() -> None:
    text = README.read_text(encoding="utf-8")
    assert text == filled(text), "run .venv/bin/python scripts/settings_table.py"


def test_the_tables_of_results_match_the_summaries() -> None:
    text = science_tables.PAGE.read_text(encoding="utf-8")
    assert text == science_tables.filled(text), "run .venv/bin/python scripts/science_tables.py"
    assert science_tables.filled(text.replace("0.8", "0.9")) != text.replace("0.8", "0.9")


@pytest.mark.parametrize("document", [*DOCUMENTS, "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_links_lead_somewhere(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    places = [link.split("#")[0] for link in re.findall(r"\]\(([^)\s]+)\)", text) if "://" not in link]
    missing = [place for place in places if place and not ((ROOT / document).parent / place).exists()]
    assert missing == []


@pytest.mark.parametrize("document", [*DOCUMENTS, "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"])
def test_every_variable_that_is_named_exists(document: str) -> None:
    named = set(
        re.findall(r"`([A-Z][A-Z0-9]*_[A-Z0-9_]+)(?:=[^`]*)?`", (ROOT / document).read_text(encoding="utf-8"))
    )
    known = {name.upper() for name in Settings.model_fields} | set(compose_file.variables())
    # Label Studio's settings that the guide mentions, and variables that all programs read.
    others = {"ML_BLOCK_LOCAL_IP", "LOCAL_FILES_SERVING_ENABLED", "LOCAL_FILES_DOCUMENT_ROOT", "HTTP_PROXY"}
    others |= {"ALL_PROXY", *CERTIFICATES}
    assert {name.removeprefix("LABEL_STUDIO_") for name in named - known} <= others


def test_environment_lines_are_those_of_the_compose_file() -> None:
    services = compose_file.raw()["services"].values()
    given = {name for service in services for name in service.get("environment", {})}
    named = {line.split("=")[0].strip() for _, block in blocks("sh") for line in block.splitlines()}
    assert named <= given | set(compose_file.variables())


def test_the_labeling_configs_are_ones_that_work() -> None:
    shown = [parse(block) for _, block in blocks("xml")]
    assert {config.labels for config in shown} == {("Bone",)}
    assert not any(config.faults for config in shown)


def test_the_guide_lists_every_knob_and_every_form() -> None:
    guide = (ROOT / "docs" / "label-studio-setup.md").read_text(encoding="utf-8")
    knobs = set(re.findall(r"^\| `(model_\w+)`", guide, flags=re.MULTILINE))
    assert knobs == {f"model_{knob.name}" for knob in fields(Knobs)} | {"model_skip"}
    assert all(f"| `{form.name.title()}Labels" in guide for form in FORMS)


def test_the_additions_to_the_compose_file_are_valid() -> None:
    for _, block in blocks("yaml"):
        services = compose_file.raw()["services"]
        added = yaml.safe_load(block)["services"]
        assert set(added) <= set(services)
        whole = {name: {**service, "image": "x"} for name, service in added.items()}
        PyOptions().from_yaml(yaml.safe_dump({"services": whole})).validate()


def test_every_guide_is_linked() -> None:
    text = README.read_text(encoding="utf-8")
    assert all(Path(document).name in text for document in DOCUMENTS[1:])
