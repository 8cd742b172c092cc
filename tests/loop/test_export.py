"""`dsal export` from a real Label Studio: what annotators drew and what a version draws, to the pixel."""

from __future__ import annotations

import csv
from pathlib import Path

import nibabel
import numpy as np
from highdicom.seg import segread
from numpy.typing import NDArray
from PIL import Image
from pycocotools.coco import COCO
from pydicom import dcmread

from ml_backend.label_studio.regions.masks import label_map
from ml_backend.score.scorers import scorer_for
from ml_backend.store import projects, versions
from ml_backend.store.models import Version, VersionState
from model.pretrained import pretrained_version
from model.research.phantom import Phantom
from tests.loop.board import Board
from tests.loop.service import Service
from tests.loop.test_disconnect import Dsal, dsal
from tests.ml_backend.cli.conftest import run
from tests.model.dicom.files import radiograph, write

__all__ = ["dsal", "run"]


def test_labels_and_masks_leave_label_studio_as_the_editor_shows_them(
    service: Service, phantoms: list[Phantom], dsal: Dsal, tmp_path: Path
) -> None:
    board = Board.connected(service, phantoms[:4], labels=("bone",))
    labelled, shown = list(board.truth)[:2], list(board.truth)[2]
    for task in labelled:
        board.submit(task)
    assert "2 written" in dsal("export", "--project", board.id, "--out", tmp_path / "png")
    with (tmp_path / "png" / "images.csv").open(newline="") as file:
        rows = {int(row["task"]): row for row in csv.DictReader(file)}
    assert set(rows) == set(labelled)
    for task, row in rows.items():
        with Image.open(tmp_path / "png" / row["files"]) as image:
            assert (np.asarray(image) == (board.truth[task].mask > 0)).all()
        assert row["name"].startswith("hand-")
        assert row["source"].startswith("annotation ")

    masks = ("export", "--project", board.id, "--what", "masks", "--format", "coco", "--out")
    assert "No version of project" in dsal(*masks, tmp_path / "no", status=1), "round 0 orders at random"
    version = _publish(service, board, shown)
    assert "4 written" in dsal(*masks, tmp_path / "coco", "--version", version.name)
    coco = COCO(str(tmp_path / "coco" / "annotations.json"))
    assert {one["task"] for one in coco.imgs.values()} == set(board.truth), "labelled ones as well"
    (image,) = (one for one in coco.imgs.values() if one["task"] == shown)
    found = np.zeros((image["height"], image["width"]), np.uint8)
    for annotation in coco.imgToAnns[image["id"]]:
        found[coco.annToMask(annotation) > 0] = annotation["category_id"]
    (prediction,) = service.label_studio.predictions(shown)
    seen = label_map(prediction["result"], board.config, found.shape).label_map
    assert seen is not None
    assert seen.any()
    assert (found == seen).all()
    assert "0 written, 4 were there already" in dsal(*masks, tmp_path / "coco")
    assert "another export" in dsal(*masks, tmp_path / "png", status=1)

    # Of an image that came from DICOM, the mask goes back to its file.
    (tmp_path / "scans").mkdir()
    scan = write(radiograph(phantoms[4].image), tmp_path / "scans" / "hand.dcm")
    dsal("import-dicom", scan, "--project", board.id)
    clinical = ("export", "--project", board.id, "--what", "masks", "--version", version.name, "--format")
    assert "5 written" in dsal(*clinical, "nifti", "--out", tmp_path / "nifti")
    with (tmp_path / "nifti" / "images.csv").open(newline="") as file:
        files = {int(row["task"]): tmp_path / "nifti" / row["files"] for row in csv.DictReader(file)}
    assert (_values(files[shown]) == found).all()
    said = dsal(*clinical, "dicom-seg", "--dicom", tmp_path / "scans", "--out", tmp_path / "seg")
    assert "1 written" in said
    assert said.count("not imported by dsal import-dicom") == 4
    (segmentation,) = map(segread, (tmp_path / "seg" / "masks").iterdir())
    (segment,) = segmentation.SegmentSequence
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    (pixels,) = segmentation.get_pixels_by_source_instance([dcmread(scan).SOPInstanceUID])
    assert pixels.any()
    assert (pixels[..., 0] == _values(files[max(files)])).all()


def _values(path: Path) -> NDArray[np.uint8]:
    """The label map (H, W) in a NIfTI file."""
    return np.asarray(nibabel.load(path).dataobj)[..., 0].T


def _publish(service: Service, board: Board, task: int) -> Version:
    """Publish the shipped weights as the project's version, with its mask of one task in Label Studio."""
    with service.context() as context:
        with context.database.write() as session:
            project = projects.ensure(session, board.id, seed=0)
            version = versions.create(
                session,
                project,
                round=7,
                state=VersionState.PUBLISHED,
                weights_hash=context.weights.put(pretrained_version()),
                labels=board.config.labels,
            )
            versions.publish(session, version)
        data = context.label_studio.task_data(board.id, [task])
        (scored,) = scorer_for(context, version, config=board.config)(data)
        one = {"task": task, "result": scored.result, "score": scored.score, "model_version": version.name}
        context.label_studio.import_predictions(board.id, [one])
        return version
