"""DICOM commands without their packages or with wrong options, and DICOM files in the commands on folders."""

from __future__ import annotations

import csv
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from model.research.phantom import draw_phantom
from tests.ml_backend.cli.conftest import Run
from tests.model.dicom.files import radiograph, write

PHANTOM = draw_phantom(9, seed=4, size=(320, 400))


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """A phantom as DICOM, as it would be stored with a white background, and as PNG."""
    folder = tmp_path / "scans"
    folder.mkdir()
    inverted = 255 - PHANTOM.image
    write(radiograph(inverted, PhotometricInterpretation="MONOCHROME1"), folder / "scan.dcm")
    cv2.imwrite(str(folder / "picture.png"), PHANTOM.image)
    return folder


def mask(path: Path) -> np.ndarray:
    return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))


def test_a_dicom_file_is_segmented_like_the_picture_in_it(run: Run, scans: Path, tmp_path: Path) -> None:
    for name in ("scan.dcm", "picture.png"):
        status, said, complaint = run("segment", scans / name, "--out", tmp_path / f"{name}.png")
        assert (status, complaint) == (0, "")
        assert "pixels labelled" in said
    found, expected = mask(tmp_path / "scan.dcm.png"), mask(tmp_path / "picture.png.png")
    assert expected.any()
    assert (found != expected).mean() < 0.001


def test_dicom_files_are_learned_from_and_scored(run: Run, scans: Path, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    masks.mkdir()
    for name in ("scan", "picture"):
        cv2.imwrite(str(masks / f"{name}.png"), np.where(PHANTOM.bones > 0, 255, 0).astype(np.uint8))
    options = ("--out", tmp_path / "v", "--steps", 1, "--width", 2, "--size", 64, "--validation", 0)
    status, said, complaint = run("train", "--images", scans, "--masks", masks, *options)
    assert status == 0, complaint
    assert "trained on 2 images" in said
    (scans / "damaged.dcm").write_bytes(b"no DICOM")
    status, said, _ = run(
        "score", "--version", tmp_path / "v", "--images", scans, "--out", tmp_path / "s.csv"
    )
    assert status == 0
    assert "not scored: damaged.dcm: It is not a DICOM file." in said
    with (tmp_path / "s.csv").open() as file:
        scores = {row["image"]: float(row["score"]) for row in csv.DictReader(file)}
    assert scores.keys() == {"scan.dcm", "picture.png"}
    assert scores["scan.dcm"] == pytest.approx(scores["picture.png"], abs=0.01)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (["--format", "dicom-seg"], "refers to its image: give the imported files by --dicom DIR."),
        (["--dicom", "."], "--dicom goes with --format dicom-seg or nifti, not with png."),
        (
            ["--format", "coco", "--dicom", "."],
            "--dicom goes with --format dicom-seg or nifti, not with coco.",
        ),
        (["--format", "nifti", "--dicom", "nowhere"], "nowhere is no folder;"),
        (["--format", "nifti", "--model"], "--format nifti does not go with --model;"),
        (["--model", "--dicom", "."], "--dicom goes with --format dicom-seg or nifti, not with onnx."),
    ],
)
def test_options_of_export_that_do_not_go_together_are_refused(
    run: Run, tmp_path: Path, options: list[str], sentence: str
) -> None:
    status, printed, said = run("export", "--project", 1, "--out", tmp_path / "out", *options)
    assert (status, printed) == (2, "")
    assert sentence in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("command", ["import-dicom", "segment", "export"])
def test_without_its_packages_one_sentence_says_what_to_install(
    run: Run, scans: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    options = ("--project", 1) if command == "import-dicom" else ("--out", tmp_path / "mask.png")
    given: tuple[object, ...] = (scans / "scan.dcm", *options)
    if command == "export":
        given = ("--project", 1, "--format", "nifti", *options)
    status, printed, said = run(command, *given)
    assert (status, printed) == (1, "")
    assert said == 'dsal: DICOM support is not installed: run pip install "dsal[dicom]".\n'
