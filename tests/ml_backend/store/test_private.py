"""Who may read what is stored."""

from __future__ import annotations

import logging
import stat
from pathlib import Path

import pytest

from ml_backend.settings import Settings
from ml_backend.store import projects
from ml_backend.store.database import Database
from ml_backend.web.app import Services


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_new_data_is_for_this_user_alone(settings: Settings) -> None:
    services = Services.open(settings)
    with services.database.write() as session:
        projects.ensure(session, 1, seed=0)
    assert mode(settings.model_dir) == 0o700
    files = [settings.model_dir / f"dsal.sqlite3{suffix}" for suffix in ("", "-wal", "-shm")]
    assert {mode(one) for one in files} == {0o600}
    services.database.close()


def test_older_data_is_tightened_with_a_line_in_the_log(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    file = settings.model_dir / "dsal.sqlite3"
    Database(settings.effective_database_url).close()
    settings.model_dir.chmod(0o755)
    file.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        Services.open(settings).database.close()
    assert (mode(settings.model_dir), mode(file)) == (0o700, 0o600)
    assert f"{settings.model_dir} was open to other users (mode 0755)" in caplog.text
    assert f"{file} was open to other users (mode 0644)" in caplog.text
    caplog.clear()
    Services.open(settings).database.close()
    assert "open to other users" not in caplog.text
