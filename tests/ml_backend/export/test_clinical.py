"""DICOM Segmentations and NIfTI label maps, read back by highdicom and nibabel."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import highdicom
import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread

from ml_backend.dicom.pseudonyms import pseudonym
from ml_backend.export.clinical import DicomFiles, FromDicom, clinical_format
from ml_backend.export.pictures import ExportError, Layers, Legend, Picture
from ml_backend.export.run import Outcome, export
from ml_backend.export.source import Item
from ml_backend.label_studio.regions.reading import UNKNOWN
from ml_backend.label_studio.regions.shape import Shape
from model.dicom.shape import to_shown
from tests.model.dicom.files import gradient, own, radiograph, write

SECRET = b"a secret of thirty-two characters"
LEGEND = Legend(("Femur", "Wachstumsfuge, 骨", "Tibia"))
Mask = NDArray[np.bool_]


@dataclass
class Drawn:
    """Pictures of (task data, masks by class index); `drawn` lists what was read of them."""

    pictures: dict[int, tuple[dict[str, Any], dict[int, Mask]]]
    legend: Legend = LEGEND
    about: dict[str, Any] = field(default_factory=lambda: {"what": "labels"})
    drawn: list[int] = field(default_factory=list)
    is_whole: bool = True

    def total(self) -> int:
        return len(self.pictures)

    def items(self) -> Iterator[Item]:
        for task, (data, masks) in self.pictures.items():

            def read(task: int = task, data: Any = data, masks: dict[int, Mask] = masks) -> Picture:
                self.drawn.append(task)
                rows, columns = next(iter(masks.values())).shape
                layers = Layers((rows, columns), overlap="later")
                for index, mask in masks.items():
                    if index == UNKNOWN:
                        assert layers.labels is not None
                        layers.labels[mask] = UNKNOWN
                    else:
                        layers.draw(Shape(0, 0, mask), index, (rows, columns))
                assert layers.labels is not None
                return Picture(task, data, layers.labels, layers.regions, f"annotation {task}")

            digest = str([(index, mask.tobytes()) for index, mask in masks.items()])
            yield Item(f"task-{task}", f"{data.get('dicom', 'hand')}.png", digest, read, data)


def of_dicom(path: Path, **more: str) -> dict[str, Any]:
    """The data of the task that was imported from a file."""
    return {"dicom": pseudonym(dcmread(path).SOPInstanceUID, SECRET), **more}


def run(
    out: Path, form: str, source: Drawn, folder: Path | None = None, version: str | None = None
) -> Outcome:
    if folder is None:
        return export(out, form, source, form=clinical_format(form, None, version))
    files = DicomFiles(folder, SECRET, lambda: [data for data, _ in source.pictures.values()])
    return export(out, form, FromDicom(source, files), form=clinical_format(form, files, version))


def random(size: Sequence[int], *shares: float) -> dict[int, Mask]:
    """Masks that overlap, by class index."""
    draw = np.random.default_rng(7)
    return {index: draw.random(size) < share for index, share in enumerate(shares, start=1)}


def disjoint(size: Sequence[int]) -> dict[int, Mask]:
    drawn = np.random.default_rng(8).integers(0, 3, size)
    return {1: drawn == 1, 2: drawn == 2}


def segments(path: Path, uid: str) -> dict[str, Mask]:
    """Masks by label, as highdicom reads them in the pixels of the image with this UID."""
    found = highdicom.seg.segread(path)
    (pixels,) = found.get_pixels_by_source_instance([uid])
    names = [segment.SegmentLabel for segment in found.SegmentSequence]
    return {name: pixels[..., place].astype(bool) for place, name in enumerate(names)}


def left_out(out: Path) -> dict[str, str]:
    with (out / "left-out.csv").open(newline="") as file:
        return {row["key"]: row["reason"] for row in csv.DictReader(file)}


def values(path: Path) -> NDArray[np.uint8]:
    return np.asarray(nibabel.load(path).dataobj)[..., 0].T


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    folder = tmp_path / "scans"
    folder.mkdir()
    return folder


@pytest.mark.parametrize("name", ["RG1_UNCR.dcm", "CT_small.dcm", "MR_small_RLE.dcm"])
def test_segmentations_have_every_pixel_of_every_label(tmp_path: Path, scans: Path, name: str) -> None:
    path = scans / "patient" / name
    path.parent.mkdir()
    path.write_bytes(own(name).read_bytes())
    image = dcmread(path)
    masks = random((image.Rows, image.Columns), 0.4, 0.5)
    data = of_dicom(path)
    outcome = run(tmp_path / "out", "dicom-seg", Drawn({4: (data, masks)}), scans)
    assert (outcome.written, outcome.left_out) == (1, [])
    found = segments(tmp_path / "out" / "masks" / f"{data['dicom']}.dcm", image.SOPInstanceUID)
    assert list(found) == list(LEGEND.labels)
    for index, label in enumerate(LEGEND.labels, start=1):
        assert np.array_equal(found[label], masks.get(index, np.zeros_like(masks[1])))
    assert (masks[1] & masks[2]).any(), "the test is about overlaps too"
    legend = json.loads((tmp_path / "out" / "legend.json").read_text())
    assert [entry["label"] for entry in legend] == ["background", *LEGEND.labels]


@pytest.mark.parametrize(("version", "kind"), [(None, "MANUAL"), ("p3-r004-brave-otter", "AUTOMATIC")])
def test_a_segmentation_says_who_drew_it(tmp_path: Path, scans: Path, version: str | None, kind: str) -> None:
    path = write(radiograph(gradient()), scans / "made.dcm")
    source = Drawn({1: (of_dicom(path), disjoint((40, 60)))})
    run(tmp_path / "out", "dicom-seg", source, scans, version)
    (file,) = (tmp_path / "out" / "masks").glob("*.dcm")
    segment = dcmread(file).SegmentSequence[0]
    assert segment.SegmentAlgorithmType == kind
    if version is not None:
        assert segment.SegmentationAlgorithmIdentificationSequence[0].AlgorithmVersion == version


@pytest.mark.parametrize("form", ["dicom-seg", "nifti"])
def test_masks_of_a_stretched_image_find_back_to_the_pixels_of_its_file(
    tmp_path: Path, scans: Path, form: str
) -> None:
    """Annotators see 40×150 of the file's 40×60."""
    path = write(radiograph(gradient(), ImagerPixelSpacing=[0.1, 0.25]), scans / "made.dcm")
    masks = disjoint((40, 60))
    shown = {index: to_shown(mask, (40, 150)) for index, mask in masks.items()}
    run(tmp_path / "out", form, Drawn({1: (of_dicom(path), shown)}), scans)
    (file,) = (tmp_path / "out" / "masks").iterdir()
    if form == "nifti":
        assert np.array_equal(values(file), masks[1] + 2 * masks[2])
        assert nibabel.load(file).header.get_zooms() == pytest.approx((0.25, 0.1, 1))
        return
    found = segments(file, dcmread(path).SOPInstanceUID)
    assert np.array_equal(found["Femur"], masks[1])
    assert np.array_equal(found["Wachstumsfuge, 骨"], masks[2])


@pytest.mark.parametrize(
    ("spacing", "zooms"),
    [
        ("0.2 × 0.1", (0.1, 0.2, 1)),
        ("0.2×0.1", (0.1, 0.2, 1)),
        (None, (1, 1, 1)),
        ("wide", (1, 1, 1)),
        ("0 × nan", (1, 1, 1)),
    ],
)
def test_nifti_needs_no_files_and_has_the_spacing_of_the_task(
    tmp_path: Path, spacing: str | None, zooms: tuple[float, ...]
) -> None:
    masks = disjoint((40, 60))
    data = {} if spacing is None else {"pixel_spacing_mm": spacing}
    outcome = run(tmp_path / "out", "nifti", Drawn({1: (data, masks), 2: (data, {3: masks[1]})}))
    assert outcome.written == 2
    path = tmp_path / "out" / "masks" / "hand.nii.gz"
    assert np.array_equal(values(path), masks[1] + 2 * masks[2])
    assert nibabel.load(path).header.get_zooms() == pytest.approx(zooms)
    third = values(tmp_path / "out" / "masks" / "hand-task-2.nii.gz")
    assert np.array_equal(third, 3 * masks[1]), "a label has the same value in all pictures"


def test_what_nifti_cannot_hold_is_left_out_and_dicom_seg_has_it(tmp_path: Path, scans: Path) -> None:
    path = write(radiograph(gradient()), scans / "made.dcm")
    nested = {1: np.ones((40, 60), bool), 2: np.eye(40, 60, dtype=bool)}
    source = Drawn({1: (of_dicom(path), nested), 2: (of_dicom(path), disjoint((40, 60)))})
    outcome = run(tmp_path / "nifti", "nifti", source, scans)
    assert (outcome.written, outcome.failed) == (1, 0)
    assert "40 of its pixels have several labels" in left_out(tmp_path / "nifti")["task-1"]
    assert run(tmp_path / "seg", "dicom-seg", source, scans).written == 2


@pytest.mark.parametrize("form", ["dicom-seg", "nifti"])
def test_what_has_no_file_is_named_and_the_others_go_on(tmp_path: Path, scans: Path, form: str) -> None:
    one, away = (write(radiograph(gradient()), scans / f"{name}.dcm") for name in ("one", "away"))
    (scans / "cut.dcm").write_bytes(one.read_bytes()[:200])
    masks = disjoint((40, 60))
    source = Drawn(
        {
            1: ({"image": "/data/upload/3/12345678-hand.png"}, masks),
            2: (of_dicom(away), masks),
            3: (of_dicom(one), {1: np.ones((4, 4), bool)}),
            4: (of_dicom(one), {UNKNOWN: masks[1]}),
            5: (of_dicom(one), masks),
        }
    )
    elsewhere = away.rename(tmp_path / "away.dcm")
    outcome = run(tmp_path / "out", form, source, scans)
    assert (outcome.written, outcome.failed) == (1, 1)
    assert source.drawn == [3, 4, 5], "nothing is drawn in vain"
    reasons = left_out(tmp_path / "out")
    assert list(reasons) == ["task-1", "task-2", "task-3", "task-4"]
    assert "not imported by dsal import-dicom" in reasons["task-1"]
    assert "not in the folder of --dicom" in reasons["task-2"]
    assert "is it the file that was imported" in reasons["task-3"]
    assert "label is not known" in reasons["task-4"]

    # It goes on with another folder, and what was written from the first one stays.
    (tmp_path / "more").mkdir()
    elsewhere.rename(tmp_path / "more" / "away.dcm")
    outcome = run(tmp_path / "out", form, source, tmp_path / "more")
    assert (outcome.written, outcome.unchanged, outcome.removed) == (1, 1, [])
    names = {path.name.partition(".")[0] for path in (tmp_path / "out" / "masks").iterdir()}
    assert len(names) == 2
    assert "" not in names, "no draft stays"


def test_nifti_with_and_without_files_are_not_mixed(tmp_path: Path, scans: Path) -> None:
    path = write(radiograph(gradient()), scans / "made.dcm")
    source = Drawn({1: (of_dicom(path), disjoint((40, 60)))})
    run(tmp_path / "a", "nifti", source)
    run(tmp_path / "b", "nifti", source, scans)
    for out, folder in (("a", scans), ("b", None)):
        with pytest.raises(ExportError, match="another export"):
            run(tmp_path / out, "nifti", source, folder)


def test_a_file_that_no_segmentation_can_refer_to_is_named(tmp_path: Path, scans: Path) -> None:
    made = radiograph(gradient())
    del made.StudyInstanceUID
    bad = write(made, scans / "bad.dcm")
    good = write(radiograph(gradient()), scans / "good.dcm")
    masks = disjoint((40, 60))
    source = Drawn({1: (of_dicom(bad), masks), 2: (of_dicom(good), masks)})
    outcome = run(tmp_path / "out", "dicom-seg", source, scans)
    assert (outcome.written, outcome.failed) == (1, 0)
    assert "StudyInstanceUID" in left_out(tmp_path / "out")["task-1"]
