"""Requirement files: exact pins, and the same pin in all files of one environment."""

from __future__ import annotations

import re

import pytest

from tests.packaging.compose_file import ROOT

TOGETHER = [
    "requirements.txt",
    "requirements-dev.txt",
    "requirements-openvino.txt",
    "requirements-experiment.txt",
    "requirements-framework.txt",
]
PIN = re.compile(r"([A-Za-z0-9._-]+)(\[[a-z,0-9-]+\])?==([^\s;]+)( *;.*)?")


def pins(name: str) -> dict[str, str]:
    """Version by package; asserts that every line is a comment, an include or an exact pin."""
    found = {}
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        text = line.partition(" #")[0].strip()
        if text and not text.startswith(("#", "-r ")):
            match = PIN.fullmatch(text)
            assert match, f"{name}: {text}"
            found[match[1].lower().replace("_", "-")] = match[3]
    return found


@pytest.mark.parametrize("name", [*TOGETHER, "requirements-label-studio.txt"])
def test_every_package_has_an_exact_pin(name: str) -> None:
    assert pins(name)


def test_what_is_installed_together_agrees() -> None:
    versions: dict[str, set[str]] = {}
    for name in TOGETHER:
        for package, version in pins(name).items():
            versions.setdefault(package, set()).add(version)
    assert {package: found for package, found in versions.items() if len(found) > 1} == {}
