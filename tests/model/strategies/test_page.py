"""docs/strategies.md says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from model.strategies import NAMES, parse

PAGE = (Path(__file__).parents[3] / "docs" / "strategies.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| `([a-z-]+)` \| \**(highest|lowest) first\** \| ([0-9.]+) \|", re.MULTILINE)


def test_the_table_lists_every_strategy_with_its_direction_and_cost() -> None:
    rows = {name: (end == "highest", float(forwards)) for name, end, forwards in ROW.findall(PAGE)}
    assert list(rows) == list(NAMES)
    for name, stated in rows.items():
        strategy = parse(name)
        assert stated == (strategy.highest_first, strategy.forwards)


@pytest.mark.parametrize("name", re.findall(r"`([a-z-]+(?:\+(?:power|clusters))+)`", PAGE))
def test_every_example_name_is_valid(name: str) -> None:
    assert parse(name).name == name
