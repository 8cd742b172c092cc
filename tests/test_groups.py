"""What is slow to make, and what needs one and the same port, is in one process."""

from __future__ import annotations

from pathlib import Path

from tests.groups import LONGEST_FIRST, TOGETHER, group, rank

ROOT = Path(__file__).parents[1]


def test_demos_never_run_side_by_side() -> None:
    texts = {
        path.relative_to(ROOT): path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")
    }
    playing = [path for path, text in texts.items() if "\nfrom tests.demos import" in text]
    assert len(playing) > 3
    assert {group(f"{path}::test_it[a/b]") for path in playing} == {"demos"}


def test_other_files_are_groups_of_their_own() -> None:
    assert group("tests/loop/test_kills.py::test_it[a::b]") == "tests/loop/test_kills.py"
    assert group("tests/model/strategies/test_strategies.py::test_it") == "model"


def test_every_name_means_some_tests() -> None:
    assert all((ROOT / place).is_dir() for place in TOGETHER)
    tests = [f"{path.relative_to(ROOT)}::test_it" for path in (ROOT / "tests").rglob("test_*.py")]
    assert {rank(test) for test in tests} == set(range(len(LONGEST_FIRST) + 1))
