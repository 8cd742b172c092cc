"""pyproject.toml names what is imported, with ranges; the requirement files pin one set within them."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.packaging.compose_file import ROOT

TOGETHER = [
    "requirements.txt",
    "requirements-dev.txt",
    "requirements-openvino.txt",
    "requirements-dicom.txt",
    "requirements-experiment.txt",
    "requirements-onnx.txt",
    "requirements-framework.txt",
]
PIN = re.compile(r"([A-Za-z0-9._-]+)(\[[a-z,0-9-]+\])?==([^\s;]+)( *;.*)?")

PYPROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
PACKAGES: list[str] = PYPROJECT["tool"]["importlinter"]["root_packages"]
UNPINNED_EXTRAS = {"s3", "gcs", "azure"}
"""No set-up of ours installs them."""
IN_NO_REGISTRY = {"label_studio_ml"}
"""Modules of what exists as a git repository only and cannot be named as a dependency."""


def pins(name: str) -> dict[str, str]:
    """Version by package; every line must be a comment, an include or an exact pin."""
    found: dict[str, str] = {}
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        text = line.partition(" #")[0].strip()
        if text and not text.startswith(("#", "-r ")):
            match = PIN.fullmatch(text)
            assert match, f"{name}: {text}"
            found[canonicalize_name(match[1])] = match[3]
    return found


def direct() -> dict[str, list[Requirement]]:
    """What pyproject.toml names, by the requirement file that pins it."""
    extras = PROJECT["optional-dependencies"]
    named = {f"requirements-{extra}.txt": extras[extra] for extra in extras.keys() - UNPINNED_EXTRAS}
    named["requirements.txt"] = PROJECT["dependencies"]
    return {file: [Requirement(text) for text in texts] for file, texts in named.items()}


def needed(requirements: list[Requirement]) -> Iterator[str]:
    """Names of these packages and of all that they need, as the installed ones say.

    But for PyTorch: its builds for CUDA bring NVIDIA's libraries, each build its own releases.
    """
    seen, waiting = set(), list(requirements)
    while waiting:
        requirement = waiting.pop()
        name = canonicalize_name(requirement.name)
        for extra in {"", *requirement.extras}:
            if (name, extra) in seen:
                continue
            seen.add((name, extra))
            yield name
            if name == "torch":
                continue
            for text in metadata.requires(name) or []:
                further = Requirement(text)
                if further.marker is None or further.marker.evaluate({"extra": extra}):
                    waiting.append(further)


def imported() -> dict[str, str]:
    """Modules of others that the packages import, each with a file that does."""
    found = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                    names = [node.module]
                else:
                    continue
                found.update({name.partition(".")[0]: str(path.relative_to(ROOT)) for name in names})
    return {name: path for name, path in found.items() if name not in {*sys.stdlib_module_names, *PACKAGES}}


@pytest.mark.parametrize("name", [*TOGETHER, "requirements-label-studio.txt", "requirements-audit.txt"])
def test_every_package_has_an_exact_pin(name: str) -> None:
    assert pins(name)


def test_what_is_installed_together_agrees() -> None:
    versions: dict[str, set[str]] = {}
    for name in TOGETHER:
        for package, version in pins(name).items():
            versions.setdefault(package, set()).add(version)
    assert {package: found for package, found in versions.items() if len(found) > 1} == {}


@pytest.mark.parametrize("file", sorted(direct()))
def test_every_direct_dependency_is_pinned_within_its_range(file: str) -> None:
    pinned = pins(file)
    for requirement in direct()[file]:
        operators = {bound.operator for bound in requirement.specifier}
        assert ">=" in operators, f"{requirement} has no lower bound"
        version = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), f"{requirement} excludes its pin {version}"


def test_what_the_direct_dependencies_need_is_pinned() -> None:
    """Otherwise two set-ups from the same files could differ."""
    assert set(needed(direct()["requirements.txt"])) - set(pins("requirements.txt")) == set()


def test_whatever_is_imported_is_a_direct_dependency() -> None:
    declared = {canonicalize_name(dependency.name) for named in direct().values() for dependency in named}
    distributions = metadata.packages_distributions()
    undeclared = {
        module: path
        for module, path in imported().items()
        if module not in IN_NO_REGISTRY
        and declared.isdisjoint(canonicalize_name(name) for name in distributions.get(module, []))
    }
    assert undeclared == {}
