"""`dsal segment`: one image, corrected by clicks and boxes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from model.consistency import dice
from model.research.phantom import draw_phantom
from tests.ml_backend.cli.conftest import Run

PHANTOM = draw_phantom(9, seed=4, size=(320, 400))
BONES = PHANTOM.bones > 0


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "hand.png"
    cv2.imwrite(str(path), PHANTOM.image)
    return path


def written(path: Path) -> np.ndarray:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


def test_without_marks_the_mask_is_the_versions(run: Run, image: Path, tmp_path: Path) -> None:
    status, said, _ = run("segment", image, "--out", tmp_path / "mask.png")
    assert status == 0
    assert "pixels labelled by phantom-hand-bones" in said
    mask = written(tmp_path / "mask.png")
    assert set(np.unique(mask)) == {0, 255}
    assert dice(mask > 0, BONES) > 0.8


def test_clicks_correct_a_given_mask(run: Run, image: Path, tmp_path: Path) -> None:
    wrong = np.where(BONES & (PHANTOM.bones != 8), 255, 0).astype(np.uint8)
    wrong[5:25, 5:35] = 255
    cv2.imwrite(str(tmp_path / "wrong.png"), wrong)
    rows, columns = np.nonzero(PHANTOM.bones == 8)
    clicks = ("--click", f"{np.median(columns)},{np.median(rows)}", "--click", "20,15,-")
    out = tmp_path / "masks" / "mended.png"
    status, said, _ = run("segment", image, "--mask", tmp_path / "wrong.png", *clicks, "--out", out)
    assert status == 0
    assert "pixels changed by each: " in said
    mended = written(out) > 0
    assert not mended[5:25, 5:35].any()
    assert dice(mended, BONES) > 0.97


def test_box_draws_into_an_empty_mask(run: Run, image: Path, tmp_path: Path) -> None:
    bone = PHANTOM.bones == 3
    rows, columns = np.nonzero(bone)
    box = f"{columns.min()},{rows.min()},{columns.max() + 1},{rows.max() + 1},bone"
    status, _, _ = run("segment", image, "--blank", "--box", box, "--out", tmp_path / "mask.png")
    assert status == 0
    assert dice((written(tmp_path / "mask.png") > 0) & bone, bone) > 0.7


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--click", "3"), '--click "3" cannot be read; write X,Y[,LABEL][,-].'),
        (("--box", "1,2,3,4,-"), "cannot be read; write LEFT,TOP,RIGHT,BOTTOM[,LABEL]."),
        (("--click", "3,4,tooth"), "The version has no label tooth; give one of bone."),
    ],
)
def test_wrong_mark_is_one_sentence(
    run: Run, image: Path, tmp_path: Path, options: tuple[str, ...], sentence: str
) -> None:
    status, _, complaint = run("segment", image, *options, "--out", tmp_path / "mask.png")
    assert status == 2
    assert sentence in complaint
    assert not (tmp_path / "mask.png").exists()


def test_click_beside_the_image_is_one_sentence(run: Run, image: Path, tmp_path: Path) -> None:
    status, _, complaint = run("segment", image, "--click", "900,5", "--out", tmp_path / "mask.png")
    assert status == 1
    assert "lies beside the image of 320×400 pixels" in complaint
    assert complaint.startswith("dsal: A click at ")
