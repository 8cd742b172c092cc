"""A first migration that takes too long; a slow script stands in for Label Studio on a very busy machine."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from ml_backend.demo import label_studio
from ml_backend.demo.label_studio import LabelStudioServer, LabelStudioServerError

SCRIPT = """#!{python}
import pathlib, sys, time
if sys.argv[1] != "version":
    sys.exit("started")
time.sleep({seconds})
(pathlib.Path(sys.argv[-1]) / "label_studio.sqlite3").touch()
"""


def slow_server(tmp_path: Path, seconds: float) -> LabelStudioServer:
    executable = tmp_path / "venv" / "bin" / "label-studio"
    executable.parent.mkdir(parents=True)
    executable.write_text(SCRIPT.format(python=sys.executable, seconds=seconds))
    executable.chmod(0o755)
    (tmp_path / "venv/lib/python3.11/site-packages/label_studio-1.23.2.dist-info").mkdir(parents=True)
    return LabelStudioServer(executable, tmp_path / "data", templates=tmp_path / "templates")


def test_a_migration_that_takes_too_long_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_studio, "MIGRATION_SECONDS", 0.5)
    with pytest.raises(LabelStudioServerError, match="did not finish creating its database in time"):
        slow_server(tmp_path, 30).start()


@pytest.mark.slow
def test_a_migration_does_not_use_up_the_time_for_the_start(tmp_path: Path) -> None:
    # The migration alone takes longer than the start may.
    with pytest.raises(LabelStudioServerError, match="ended while starting: started"):
        slow_server(tmp_path, 6).start(timeout=5)
    assert (tmp_path / "data" / "label_studio.sqlite3").exists()
