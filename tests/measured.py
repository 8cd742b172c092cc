"""What tests measure and judge generously: told after all tests, whichever process ran them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

MEASURED = "measured"
"""Name under which a test gives `record_property` a text to be told."""


def told(reports: Iterable[pytest.TestReport]) -> Iterator[str]:
    """One line for each text that a test wants told."""
    for report in reports:
        for name, text in report.user_properties:
            if name == MEASURED:
                yield f"{report.nodeid}: {text}"
