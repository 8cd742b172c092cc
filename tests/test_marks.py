"""Who needs Label Studio or Chromium carries its mark, and the tests of `model` need nothing of the kind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.marks import OF_FIXTURES, OF_FOLDERS, marks_of

ROOT = Path(__file__).parents[1]

FOREIGN = (
    *("flask", "redis", "rq", "sqlalchemy", "label_studio_sdk", "playwright", "gcp_storage_emulator"),
    *("xdist", "ml_backend"),
)
BLOCKER = f"""
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {FOREIGN}:
            raise ImportError(name + " is not here")

sys.meta_path.insert(0, Blocker())
"""


def test_marks_follow_fixtures_and_folders() -> None:
    assert marks_of("tests/doctor/test_health.py::test_it", ["case", "service", "label_studio"]) == {
        "label_studio"
    }
    assert marks_of("tests/loop/test_open.py::test_it[a/b]", ["label_studio", "browser"]) == {
        "label_studio",
        "browser",
    }
    assert marks_of("tests/browser/deeper/test_page.py::test_it", []) == {"label_studio", "browser"}
    assert marks_of("tests/doctor/test_guide.py::test_it[tests/browser]", ["tmp_path"]) == set()


def test_tests_have_their_marks_before_any_is_left_out(request: pytest.FixtureRequest) -> None:
    chosen = request.config.option.markexpr
    for item in request.session.items:
        marks = {mark.name for mark in item.iter_markers()}
        needed = marks_of(item.nodeid, getattr(item, "fixturenames", ()))
        assert needed <= marks, item.nodeid
        assert not any(f"not {mark}" in chosen for mark in needed), item.nodeid


def test_every_rule_means_some_tests() -> None:
    texts = [path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("*.py")]
    for fixture in OF_FIXTURES:
        assert any(f"\ndef {fixture}(" in text for text in texts), fixture
    assert all((ROOT / folder).is_dir() for folder in OF_FOLDERS)


@pytest.mark.slow
def test_tests_of_the_model_need_nothing_of_other_suites(tmp_path: Path) -> None:
    """All are imported and some are run where none of those packages can be imported."""
    (tmp_path / "blocker.py").write_text(BLOCKER)
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    plugins = ["blocker", "no:xdist", "no:xdist.looponfail", "no:cacheprovider"]
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", *(f"-p{plugin}" for plugin in plugins)),
            *("tests/model", "-k", "test_classes or test_splitting"),
        ],
        cwd=ROOT,
        env={**environment, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert " deselected" in done.stdout.splitlines()[-1], "those of other files were imported as well"
