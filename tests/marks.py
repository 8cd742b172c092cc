"""What a test needs beyond Python's packages, told by the fixtures it uses and the folder it lies in.

`make test-fast` leaves out by mark what needs something that is long to install or long to run. conftest.py
gives every test its marks when it is collected, so that a new test has them without anybody's doing; only
`slow` is written at a test by hand. pyproject.toml says what each mark means.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PurePosixPath

OF_FIXTURES = {
    "label_studio": {"label_studio"},
    "stack": {"label_studio"},
    "browser": {"browser"},
    "postgresql_server": {"postgresql"},
}
"""Marks by the fixtures from which all others that need the same are made."""

OF_FOLDERS = {
    "tests/browser": {"label_studio", "browser"},
    "tests/faults": {"faults"},
}
"""Marks of all tests below a folder."""


def marks_of(test: str, fixtures: Collection[str]) -> set[str]:
    """The marks of a test with this node id that uses these fixtures, directly or through others."""
    marks = {mark for fixture in fixtures for mark in OF_FIXTURES.get(fixture, ())}
    for place in PurePosixPath(test.partition("::")[0]).parents:
        marks |= OF_FOLDERS.get(str(place), set())
    return marks
