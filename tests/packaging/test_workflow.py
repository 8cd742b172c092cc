"""The workflow of the hosting site: it runs what continuous integration runs anywhere else."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest
import yaml

from tests.packaging.compose_file import ROOT


@pytest.fixture(scope="module")
def workflow() -> dict[Any, Any]:
    text = (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    document: dict[Any, Any] = yaml.safe_load(text)
    return document


@pytest.fixture(scope="module")
def steps(workflow: dict[Any, Any]) -> list[dict[str, Any]]:
    (job,) = workflow["jobs"].values()
    assert job["runs-on"] == "ubuntu-latest"
    found: list[dict[str, Any]] = job["steps"]
    return found


def test_it_runs_for_every_push_and_pull_request(workflow: dict[Any, Any]) -> None:
    # YAML 1.1 reads the word `on` as true.
    assert workflow[True] == {"push": None, "pull_request": None}


def test_the_only_command_is_the_project_s_own(steps: list[dict[str, Any]]) -> None:
    assert [step["run"] for step in steps if "run" in step] == [".ci/run"]
    assert (ROOT / ".ci" / "run").is_file()
    # The checkout and the interpreter come first.
    assert [step.get("uses", "").partition("@")[0] for step in steps] == [
        "actions/checkout",
        "actions/setup-python",
        "",
    ]


def test_it_takes_the_oldest_python_that_is_supported(steps: list[dict[str, Any]]) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (chosen,) = (step["with"]["python-version"] for step in steps if "with" in step)
    assert project["requires-python"] == f">={chosen}"
