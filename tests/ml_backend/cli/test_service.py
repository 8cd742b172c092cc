"""Where a demo finds Label Studio."""

from __future__ import annotations

from pathlib import Path

import pytest

from ml_backend.cli import service


def test_the_demo_takes_the_installed_label_studio_or_the_one_on_the_path(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    installed = Path(".venv-label-studio/bin/label-studio")
    taken: list[Path] = []
    monkeypatch.setattr("ml_backend.demo.demo.run_demo", lambda options: taken.append(options.label_studio))

    service.demo()
    for command in (tmp_path / "bin" / "label-studio", installed):
        command.parent.mkdir(parents=True)
        command.touch(mode=0o755)
        service.demo()
    assert taken == [installed, tmp_path / "bin" / "label-studio", installed]
