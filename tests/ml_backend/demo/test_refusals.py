"""What a demo refuses before it starts anything, each with one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from ml_backend.demo.collection import own_images
from ml_backend.demo.workplace import MARK, WorkplaceError, own
from model.dataset import DatasetError


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


@pytest.fixture
def pairs(tmp_path: Path) -> tuple[Path, Path]:
    """Eight images with masks."""
    images, masks = tmp_path / "images", tmp_path / "masks"
    for number in range(8):
        for folder, value in ((images, 90), (masks, 255)):
            folder.mkdir(exist_ok=True)
            cv2.imwrite(str(folder / f"leg{number}.png"), np.full((30, 20), value, np.uint8))
    return images, masks


def test_a_missing_label_studio_names_what_installs_it(tmp_path: Path) -> None:
    status, said = demo(tmp_path / "nowhere" / "label-studio", "--folder", tmp_path / "demo")
    assert status == 1
    assert "`make demo` installs it" in said
    assert said.count("\n") == 1


def test_a_report_that_cannot_be_written_is_told_at_once(label_studio: Path, tmp_path: Path) -> None:
    report = tmp_path / "nowhere" / "r.json"
    status, said = demo(label_studio, "--folder", tmp_path / "demo", "--report", report)
    assert status == 1
    assert f"There is no folder {tmp_path / 'nowhere'}" in said
    assert not (tmp_path / "demo").exists()


def test_a_wrong_setting_is_told_at_once(label_studio: Path, tmp_path: Path) -> None:
    status, said = demo(label_studio, "--folder", tmp_path / "demo", BATCH_SIZE="0")
    assert status == 2
    assert said == "dsal: BATCH_SIZE must be greater than 0, and it is '0'.\n"


def test_a_folder_with_other_files_is_never_emptied(label_studio: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    status, said = demo(label_studio, "--folder", tmp_path)
    assert status == 1
    assert "would be emptied" in said
    assert (tmp_path / "thesis.txt").read_text() == "years of work"


def test_a_folder_belongs_to_one_demo_at_a_time_and_is_emptied_by_the_next(tmp_path: Path) -> None:
    with own(tmp_path / "demo") as folder:
        (folder / "data").mkdir()
        (folder / "data" / "old").touch()
        with pytest.raises(WorkplaceError, match="Another demo uses"), own(tmp_path / "demo"):
            pass
    with own(tmp_path / "demo") as folder:
        assert [entry.name for entry in folder.iterdir()] == [MARK]


def test_own_images_without_mask_are_named(
    label_studio: Path, tmp_path: Path, pairs: tuple[Path, Path]
) -> None:
    images, masks = pairs
    (masks / "leg3.png").unlink()
    status, said = demo(label_studio, "--folder", tmp_path / "demo", "--images", images, "--masks", masks)
    assert status == 1
    assert "leg3" in said.splitlines()[-1]


def test_images_whose_masks_mark_nothing_are_left_out(pairs: tuple[Path, Path]) -> None:
    images, masks = pairs
    cv2.imwrite(str(masks / "leg5.png"), np.zeros((30, 20), np.uint8))
    seen: list[tuple[int, int]] = []
    collection = own_images(images, masks, 60, 2, 0, lambda *progress: seen.append(progress))
    assert collection.left_out == ("leg5",)
    assert len(collection.tasks) == 5
    assert len(collection.test) == 2
    assert not {sample.stem for sample in collection.tasks} & {sample.stem for sample in collection.test}
    assert seen[-1] == (8, 8)


@pytest.mark.parametrize("fault", ["empty", "size", "kind", "broken", "few"])
def test_own_images_that_cannot_be_used_are_named(pairs: tuple[Path, Path], fault: str) -> None:
    images, masks = pairs
    test, named = 2, "leg3"
    match fault:
        case "empty":
            named = "Every mask is empty"
            for mask in masks.iterdir():
                cv2.imwrite(str(mask), np.zeros((30, 20), np.uint8))
        case "size":
            cv2.imwrite(str(masks / "leg3.png"), np.full((20, 30), 255, np.uint8))
        case "kind":
            (images / "leg3.png").rename(images / "leg3.tif")
        case "broken":
            (images / "leg3.png").write_bytes(b"no image")
        case "few":
            test, named = 7, "too few"
    with pytest.raises(DatasetError, match=named):
        own_images(images, masks, 60, test, 0, lambda _done, _total: None)
