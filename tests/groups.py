"""Which tests stay in one process when several run side by side, and which are begun first."""

from __future__ import annotations

from pathlib import PurePosixPath

TOGETHER = {
    "tests/browser": "demos",
    "tests/ml_backend/demo": "demos",
    "tests/doctor": "doctor",
    "tests/model": "model",
}
"""Folders whose tests share what is slow to make or, as demos do, ports; of others each file is a group."""

LONGEST_FIRST = (
    "tests/loop",
    "tests/faults",
    "demos",
    "doctor",
    "model",
    "tests/packaging",
    "tests/label_studio",
)
"""Groups and folders of them in the order in which they are begun, so that all processes end together."""


def group(test: str) -> str:
    """The group of a test with this node id."""
    file = PurePosixPath(test.partition("::")[0])
    return next((TOGETHER[str(place)] for place in file.parents if str(place) in TOGETHER), str(file))


def rank(test: str) -> int:
    """The place of a test's group among those that are begun first."""
    name = group(test)
    known = (place for place, first in enumerate(LONGEST_FIRST) if name.startswith(first))
    return next(known, len(LONGEST_FIRST))
