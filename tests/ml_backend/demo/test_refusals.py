"""Errors that a demo reports before it starts anything, each in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ml_backend.demo.workspace import MARK, FolderError, locked_folder


def demo(label_studio: Path, *options: object, **environment: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "ml_backend", "demo", "--label-studio", str(label_studio), *map(str, options)],
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=60,
        check=False,
    )
    return done.returncode, done.stderr


@pytest.mark.slow
def test_a_missing_label_studio_names_what_installs_it(tmp_path: Path) -> None:
    status, said = demo(tmp_path / "nowhere" / "label-studio", "--folder", tmp_path / "demo")
    assert status == 1
    assert "`make demo` installs it" in said
    assert said.count("\n") == 1


def test_a_report_that_cannot_be_written_is_reported_at_once(label_studio: Path, tmp_path: Path) -> None:
    report = tmp_path / "nowhere" / "r.json"
    status, said = demo(label_studio, "--folder", tmp_path / "demo", "--report", report)
    assert status == 1
    assert f"There is no folder {tmp_path / 'nowhere'}" in said
    assert not (tmp_path / "demo").exists()


def test_an_invalid_setting_is_reported_at_once(label_studio: Path, tmp_path: Path) -> None:
    status, said = demo(label_studio, "--folder", tmp_path / "demo", BATCH_SIZE="0")
    assert status == 2
    assert said == "dsal: BATCH_SIZE must be greater than 0, not '0'.\n"


def test_a_folder_with_other_files_is_never_emptied(label_studio: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    status, said = demo(label_studio, "--folder", tmp_path)
    assert status == 1
    assert "would be emptied" in said
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_folder_is_used_by_one_demo_at_a_time_and_emptied_by_the_next(tmp_path: Path) -> None:
    with locked_folder(tmp_path / "demo") as folder:
        (folder / "data").mkdir()
        (folder / "data" / "old").touch()
        with pytest.raises(FolderError, match="Another demo uses"), locked_folder(tmp_path / "demo"):
            pass
    with locked_folder(tmp_path / "demo") as folder:
        assert [entry.name for entry in folder.iterdir()] == [MARK]


def test_an_own_image_without_a_mask_is_reported(
    label_studio: Path, tmp_path: Path, pairs: tuple[Path, Path]
) -> None:
    images, masks = pairs
    (masks / "leg3.png").unlink()
    status, said = demo(label_studio, "--folder", tmp_path / "demo", "--images", images, "--masks", masks)
    assert status == 1
    assert "leg3" in said.splitlines()[-1]
