"""docs/operations.md names all checks of `dsal doctor`."""

from __future__ import annotations

import re
from pathlib import Path

from tests.doctor.test_health import ORDER

GUIDE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")


def test_the_healthy_set_up_shown_has_the_lines_of_a_healthy_one() -> None:
    assert [line[2:20].strip() for line in GUIDE.splitlines() if line.startswith("✓ ")] == ORDER


def test_every_check_has_its_faults_in_the_table() -> None:
    assert list(dict.fromkeys(re.findall(r"^\| [^|]+ \| `([^`]+)`: ", GUIDE, re.M))) == ORDER
