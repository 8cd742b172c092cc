"""`dsal phantom`, `dsal train`, `dsal score` and `dsal pretrain` on folders of images."""

from __future__ import annotations

import csv
import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from model.imaging.decoding import decode_image
from model.pretrained import pretrained_version
from model.training.dataset import read_folder, read_mask
from model.training.splitting import extend_split
from model.weights import read_card
from tests.ml_backend.cli.conftest import Run

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def hands(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of six small phantoms of different ages, with masks."""
    from model.research.phantom import draw_phantom

    folder = tmp_path_factory.mktemp("hands")
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for number in range(6):
        phantom = draw_phantom(3 * number, seed=number, size=(128, 160))
        cv2.imwrite(str(folder / "images" / f"hand{number}.png"), phantom.image)
        cv2.imwrite(str(folder / "masks" / f"hand{number}.png"), phantom.mask)
    return folder


def test_phantom_writes_images_with_their_masks(run: Run, tmp_path: Path) -> None:
    status, said, _ = run(
        "phantom", "--out", tmp_path / "out", "--per-group", 1, "--groups", 2, "--multilabel"
    )
    assert status == 0
    assert said.startswith("2 phantoms in ")
    images = sorted((tmp_path / "out" / "images").iterdir())
    assert len(images) == 2
    for image in images:
        shape = decode_image(image.read_bytes()).shape
        assert read_mask(tmp_path / "out" / "masks" / image.name).shape == shape
        bones = read_mask(tmp_path / "out" / "labels" / image.name)
        assert set(np.unique(bones)) == set(range(20))
    rows = list(csv.DictReader((tmp_path / "out" / "phantoms.csv").open()))
    assert len(rows) == 2


@pytest.mark.slow
def test_train_then_score_a_folder(run: Run, hands: Path, tmp_path: Path) -> None:
    options = ("--steps", 30, "--width", 4, "--size", 64)
    folders = ("--images", hands / "images", "--masks", hands / "masks")
    status, said, _ = run("train", *folders, "--out", tmp_path / "first", *options)
    assert status == 0
    assert "30 steps, validation DSC 0." in said

    scores = tmp_path / "scores.csv"
    status, said, _ = run(
        "score", "--version", tmp_path / "first", "--images", hands / "images", "--out", scores
    )
    assert status == 0
    assert "6 images scored by first" in said
    rows = list(csv.DictReader(scores.open()))
    assert sorted(row["image"] for row in rows) == [f"hand{number}.png" for number in range(6)]
    ordered = [float(row["score"]) for row in rows]
    assert ordered == sorted(ordered, reverse=True)
    for row in rows:
        assert abs(float(row["score"]) - (float(row["l_dsc"]) + float(row["m_dsc"])) / 2) < 1e-5
        mask = decode_image((tmp_path / "scores-masks" / row["image"]).read_bytes())
        assert mask.shape == (160, 128)
        assert set(np.unique(mask)) <= {0, 255}

    status, said, _ = run(
        "train", *folders, "--out", tmp_path / "next", "--from", tmp_path / "first", "--steps", 2
    )
    assert status == 0


@pytest.mark.slow
def test_processes_of_torchrun_train_one_version_together(hands: Path, tmp_path: Path) -> None:
    options = ("--steps", "2", "--width", "2", "--size", "64", "--batch", "3")
    folders = ("--images", hands / "images", "--masks", hands / "masks", "--out", tmp_path / "shared")
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
    done = subprocess.run(
        [*torchrun, "-m", "ml_backend", "train", *folders, *options],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("trained on 5 images in 2 steps, validation DSC") == 1
    assert read_card(tmp_path / "shared").metrics["steps"] == 2


def test_scoring_says_what_it_could_not_read(run: Run, hands: Path, tmp_path: Path) -> None:
    folders = ("--images", hands / "images", "--masks", hands / "masks")
    run("train", *folders, "--out", tmp_path / "v", "--steps", 1, "--width", 2, "--size", 64)
    images = tmp_path / "images"
    images.mkdir()
    shutil.copy(hands / "images" / "hand0.png", images)
    (images / "broken.png").write_bytes(b"no image")
    status, said, _ = run(
        "score", "--version", tmp_path / "v", "--images", images, "--out", tmp_path / "s.csv"
    )
    assert status == 0
    assert "1 images scored" in said
    assert "not scored: broken.png" in said


def test_files_that_are_not_read_are_named(
    run: Run, hands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As where the extra for DICOM is not installed.
    monkeypatch.setitem(sys.modules, "pydicom", None)
    shutil.copytree(hands, tmp_path, dirs_exist_ok=True)
    images, masks = tmp_path / "images", tmp_path / "masks"
    for name in ("scan.dcm", "IM0001", "notes.txt", ".DS_Store"):
        (images / name).write_bytes(b"DICM")
    (images / "more").mkdir()
    status, said, _ = run(
        "train",
        "--images",
        images,
        "--masks",
        masks,
        "--out",
        tmp_path / "v",
        "--steps",
        1,
        "--width",
        2,
        "--size",
        64,
    )
    assert status == 0
    scored = run("score", "--version", tmp_path / "v", "--images", images, "--out", tmp_path / "s.csv")
    assert scored[0] == 0
    for output in (said, scored[1]):
        assert "scan.dcm: files of type .dcm are not read, only .bmp, .jpeg, " in output
        assert "IM0001: files without a suffix are not read" in output
        assert "notes.txt: files of type .txt are not read" in output
        assert "more: folders within the folder are not read" in output
        assert "DS_Store" not in output
        assert "hand0" not in output

    # A mask whose image is left out is not merely an unpaired one.
    shutil.copy(masks / "hand0.png", masks / "scan.png")
    status, _, said = run(
        "train", "--images", images, "--masks", masks, "--out", tmp_path / "v", "--steps", 1
    )
    assert status == 1
    assert "No image for scan" in said
    assert "scan.dcm is left out: files of type .dcm are not read" in said


@pytest.mark.parametrize("fault", ["no mask", "wrong size", "all empty", "no images", "broken image"])
def test_images_and_masks_that_do_not_fit_are_named(
    run: Run, hands: Path, tmp_path: Path, fault: str
) -> None:
    shutil.copytree(hands, tmp_path, dirs_exist_ok=True)
    images, masks = tmp_path / "images", tmp_path / "masks"
    named = "hand3"
    match fault:
        case "no mask":
            (masks / "hand3.png").unlink()
        case "wrong size":
            cv2.imwrite(str(masks / "hand3.png"), np.full((20, 30), 255, np.uint8))
        case "all empty":
            named = "empty"
            for mask in masks.iterdir():
                cv2.imwrite(str(mask), np.zeros((160, 128), np.uint8))
        case "no images":
            named = "no images"
            for folder in (images, masks):
                shutil.rmtree(folder)
                folder.mkdir()
        case "broken image":
            (images / "hand3.png").write_bytes(b"no image")
    status, _, said = run(
        "train", "--images", images, "--masks", masks, "--out", tmp_path / "v", "--steps", 1
    )
    assert status == 1
    sentence = said.splitlines()[-1]
    assert sentence.startswith("dsal: ")
    assert named in sentence
    assert not (tmp_path / "v").exists()


def test_no_name_of_a_file_stops_the_others_or_loses_a_mask(
    run: Run, hands: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MODEL_DIR", str(tmp_path / "data"))
    names = [os.fsdecode(b"hand\xff.png"), "hand.png", "hand.bmp", "new\nline.png"]
    folders = tmp_path / "images", tmp_path / "masks"
    for folder in folders:
        folder.mkdir()
    for number, name in enumerate(names):
        image = decode_image((hands / "images" / f"hand{number}.png").read_bytes())
        (folders[0] / name).write_bytes(cv2.imencode(Path(name).suffix, image)[1].tobytes())
    status, said, _ = run("predict", folders[0], "--out", tmp_path / "out")
    assert (status, "4 written" in said) == (0, True)
    scores = tmp_path / "scores.csv"
    status, said, _ = run("score", "--version", pretrained_version(), "--images", folders[0], "--out", scores)
    assert (status, "4 images scored" in said) == (0, True)
    with scores.open(newline="", encoding="utf-8") as file:
        assert {row["image"] for row in csv.DictReader(file)} == {"hand\\xff.png", *names[1:]}
    assert {path.name for path in (tmp_path / "scores-masks").iterdir()} == {
        names[0],
        "hand.png.png",
        "hand.bmp.png",
        names[3],
    }
    (folders[0] / "hand.bmp").unlink()
    for name in (names[0], names[1], names[3]):
        shutil.copy(hands / "masks" / "hand0.png", folders[1] / name)
    stems = [sample.stem for sample in read_folder(*folders)]
    assert stems == ["hand", "hand\\xff", "new\nline"]
    training, validation = extend_split(stems, 0.3, 0)
    assert sorted([*training, *validation]) == stems, "as dsal train divides them"


def test_only_a_version_is_replaced(run: Run, hands: Path) -> None:
    folders = ("--images", hands / "images", "--masks", hands / "masks")
    status, _, said = run("train", *folders, "--out", hands, "--steps", 1)
    assert status == 2
    assert "new folder" in said
    assert len(list((hands / "images").iterdir())) == 6


def test_a_folder_that_is_not_a_version_is_reported(run: Run, hands: Path, tmp_path: Path) -> None:
    status, _, said = run(
        "score", "--version", tmp_path, "--images", hands / "images", "--out", tmp_path / "s.csv"
    )
    assert status == 1
    assert said.startswith("dsal: ")


def test_a_trained_version_has_the_labels_that_were_named(run: Run, hands: Path, tmp_path: Path) -> None:
    folders = ("--images", hands / "images", "--masks", hands / "masks")
    options = ("--steps", 1, "--width", 2, "--size", 64)
    for given, labels in (((), ("label 1",)), (("--labels", "left lung"), ("left lung",))):
        status, _, _ = run("train", *folders, *given, *options, "--out", tmp_path / "v")
        assert status == 0
        assert read_card(tmp_path / "v").labels == labels
    status, _, _ = run("train", *folders, "--from", tmp_path / "v", "--steps", 1, "--out", tmp_path / "next")
    assert status == 0
    assert read_card(tmp_path / "next").labels == ("left lung",), "as in the version it starts from"
    status, _, said = run("train", *folders, *options, "--labels", "a,a", "--out", tmp_path / "twice")
    assert status == 1
    assert "named twice" in said


@pytest.mark.slow
def test_pretraining_makes_a_version_that_training_starts_from(run: Run, hands: Path, tmp_path: Path) -> None:
    pretrained, trained = tmp_path / "pretrained", tmp_path / "trained"
    options = ("--steps", 2, "--size", 128, "--width", 2)
    status, told, _ = run("pretrain", *options, "--out", pretrained)
    assert status == 0
    assert "2 steps" in told
    folders = ("--images", hands / "images", "--masks", hands / "masks")
    status, _, _ = run("train", *folders, "--from", pretrained, "--steps", 2, "--out", trained)
    assert status == 0
    assert read_card(trained).parent == "pretrained"
    status, _, complaint = run("pretrain", *options, "--out", hands)
    assert status == 2
    assert "is not a version" in complaint
