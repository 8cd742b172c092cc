"""`dsal import-dicom` into a real Label Studio: what arrives there, and what must not."""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest
from highdicom.seg import segread
from PIL import Image
from pydicom.datadict import DicomDictionary
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import RLELossless

from ml_backend.demo.label_studio import LabelStudioServer
from ml_backend.dicom.folders import find_sources
from ml_backend.dicom.importing import import_dicom
from ml_backend.dicom.pseudonyms import image_name, pseudonym, pseudonym_of, read_secret
from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import default_config, parse
from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.label_studio.regions.masks import results
from ml_backend.queue.context import image_reader
from ml_backend.settings import Settings
from model.dicom.header import READ
from model.dicom.shape import to_shown
from tests.loop.board import png
from tests.model.dicom.files import gradient, own, radiograph, write

SECRET = "a secret of thirty-two characters"
MARK = "QZXJKV"
"""Begins every value that must be found nowhere."""
TEXTS = ("PN", "LO", "SH", "LT", "ST", "UT", "UC", "AE")
UIDS = {
    "StudyInstanceUID": "1.2.826.0.1.3680043.9.7777.1",
    "SeriesInstanceUID": "1.2.826.0.1.3680043.9.7777.2",
    "SOPInstanceUID": "1.2.826.0.1.3680043.9.7777.3",
    "FrameOfReferenceUID": "1.2.826.0.1.3680043.9.7777.4",
}
DATES = {
    "PatientBirthDate": "19310217",
    "StudyDate": "19980713",
    "AcquisitionDateTime": "19980713101112.345678",
}

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def dsal(server: LabelStudioServer, tmp_path: Path) -> Command:
    """Runs the command, with its data below the test's folder."""

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        environment = {
            **os.environ,
            "LABEL_STUDIO_URL": server.url,
            "LABEL_STUDIO_API_KEY": server.token,
            "MODEL_DIR": str(tmp_path / "data"),
            "LOG_LEVEL": "DEBUG",
        }
        return subprocess.run(
            [sys.executable, "-m", "ml_backend", *map(str, arguments)],
            capture_output=True,
            text=True,
            env=environment,
            check=False,
        )

    return run


def identified() -> FileDataset:
    """A radiograph with marks in every attribute of text that DICOM knows, private ones and overlays."""
    made = radiograph(gradient() | np.uint16(0x8000), BitsStored=12, PixelSpacing=[0.143, 0.143])
    for tag, (kind, _, _, _, keyword) in DicomDictionary.items():
        if kind in TEXTS and keyword and keyword not in READ and tag >> 16 > 2:
            setattr(made, keyword, f"{MARK}{keyword}"[:16])
    for keyword, value in {**UIDS, **DATES}.items():
        setattr(made, keyword, value)
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    other = Dataset()
    other.PatientID = other.IssuerOfPatientID = f"{MARK}nested"
    made.OtherPatientIDsSequence = [other]
    private = made.private_block(0x0029, f"{MARK} maker", create=True)
    private.add_new(0x10, "LO", f"{MARK}private")
    private.add_new(0x11, "OB", f"{MARK}bytes".encode())
    table = Dataset()
    table.LUTDescriptor = [4096, 0, 16]
    table.LUTData = (np.arange(4096, dtype="<u2") * 16).tobytes()
    table.LUTExplanation = f"{MARK}table"
    made.VOILUTSequence = [table]
    made.add_new(0x60000022, "LO", f"{MARK}overlay")
    made.add_new(0x60003000, "OW", (f"{MARK}burned".encode() + b"\xff" * 300)[:300])
    return made


def chunks(png_file: bytes) -> list[bytes]:
    """The kinds of the chunks of a PNG."""
    found, place = [], 8
    while place < len(png_file):
        (length,) = struct.unpack(">I", png_file[place : place + 4])
        found.append(png_file[place + 4 : place + 8])
        place += 12 + length
    return found


def test_nothing_that_identifies_a_patient_is_written_anywhere(
    dsal: Command, server: LabelStudioServer, client: LabelStudio, project: int, tmp_path: Path
) -> None:
    folder = tmp_path / "scans" / f"{MARK}^Jane"
    folder.mkdir(parents=True)
    made = identified()
    path = write(made, folder / f"{MARK}_1931.dcm")
    assert path.read_bytes().count(MARK.encode()) > 700
    done = dsal("import-dicom", tmp_path / "scans", "--project", project)
    assert done.returncode == 0, done.stderr
    assert f"Project {project}: 1 imported." in done.stdout

    (task,) = client.tasks(project)
    assert set(task.data) == {"image", "dicom", "pixel_spacing_mm"}
    assert task.data["pixel_spacing_mm"] == "0.143 × 0.143"
    name = pseudonym_of(task.data)
    assert name
    (uploaded,) = server.data_dir.rglob(f"*{image_name(name)}")
    assert set(chunks(uploaded.read_bytes())) == {b"IHDR", b"pHYs", b"IDAT", b"IEND"}
    # Without the bits above the stored ones, in which the overlay would be.
    assert np.array_equal(np.asarray(Image.open(uploaded)), gradient() * 16)

    secrets = [MARK, *UIDS.values(), *DATES.values()]
    searched = {"standard output": done.stdout.encode(), "standard error": done.stderr.encode()}
    for place in (server.data_dir, tmp_path / "data"):
        searched |= {str(file): file.read_bytes() for file in place.rglob("*") if file.is_file()}
    assert any(file.endswith("label_studio.sqlite3") for file in searched)
    assert str(server.log) in searched
    assert any(name.encode() in data for file, data in searched.items() if "label_studio.sqlite3" in file)
    found = [(file, text) for file, data in searched.items() for text in secrets if text.encode() in data]
    assert found == []

    # The way back, for whoever has the folder and the secret.
    secret = (tmp_path / "data" / "dicom-secret").read_bytes().strip()
    assert find_sources(tmp_path / "scans", [name], secret) == {name: path}


def test_bad_files_are_named_the_others_go_on_and_nothing_comes_twice(
    dsal: Command, client: LabelStudio, project: int, tmp_path: Path
) -> None:
    folder = tmp_path / "scans"
    (folder / "more").mkdir(parents=True)
    write(radiograph(gradient(), BitsStored=12), folder / "IM1", RLELossless)
    for name in ("MR_small_jp2klossless.dcm", "JPGLosslessP14SV1_1s_1f_8b.dcm", "6154", "emri_small.dcm"):
        source = next(own("CT_small.dcm").parent.rglob("6154")) if name == "6154" else own(name)
        (folder / "more" / name).write_bytes(source.read_bytes())
    (folder / "again.dcm").write_bytes((folder / "IM1").read_bytes())
    (folder / "cut.dcm").write_bytes((folder / "IM1").read_bytes()[:-90])
    (folder / "notes.txt").write_text("notes")
    first = dsal("import-dicom", folder, "--project", project)
    assert first.returncode == 1
    assert f"Project {project}: 4 imported, 1 there already, 2 not imported, 1 other files." in first.stdout
    assert "cut.dcm is not imported: It " in first.stderr
    assert "emri_small.dcm is not imported: It has 10 frames" in first.stderr
    tasks = {task.id: task.data for task in client.tasks(project)}
    assert len(tasks) == 4

    secret = (tmp_path / "data" / "dicom-secret").read_bytes().strip()
    second = import_dicom(client, project, [folder], secret)
    assert (second.imported, second.known, len(second.refused)) == ([], 5, 2)
    assert {task.id: task.data for task in client.tasks(project)} == tasks


def test_an_annotated_mask_finds_back_to_the_pixels_of_its_file(
    dsal: Command, client: LabelStudio, project: int, tmp_path: Path
) -> None:
    """Pixels are 2.5 times as wide as high: annotators see 40×150 of the file's 40×60."""
    stretched = radiograph(gradient(), BitsStored=12, ImagerPixelSpacing=[0.1, 0.25])
    (tmp_path / "scans").mkdir()
    source = write(stretched, tmp_path / "scans" / "one.dcm")
    config = parse(default_config(["Bone"]))
    secret = read_secret(Settings(model_dir=tmp_path / "data"), create=True)
    (number,) = import_dicom(client, project, [source], secret).imported
    other = client.upload(project, {"other.png": png(np.zeros((40, 60), np.uint8))})["other.png"]
    data = client.task_data(project, [number])[number]
    read = image_reader(Settings(model_dir=tmp_path / "data"), client).read(project, number, data, config)
    assert (read.dtype, read.shape) == (np.uint16, (40, 150))
    assert (read[0, 0] < 100, read[-1, -1] > 65435) == (True, True)

    mask = np.random.default_rng(3).random((40, 60)) > 0.5
    client.submit_annotation(number, results(to_shown(mask, (40, 150)).astype(np.uint8), config))
    client.submit_annotation(other, results(np.ones((40, 60), np.uint8), config))

    export = ("export", "--project", project, "--dicom", tmp_path / "scans", "--format")
    done = dsal(*export, "dicom-seg", "--out", tmp_path / "seg")
    assert done.returncode == 0, done.stderr
    assert f"left out: task-{other}: It was not imported by dsal import-dicom" in done.stdout
    (file,) = (tmp_path / "seg" / "masks").iterdir()
    assert file.name == f"{pseudonym_of(data)}.dcm"
    (pixels,) = segread(file).get_pixels_by_source_instance([stretched.SOPInstanceUID])
    assert np.array_equal(pixels[..., 0], mask)

    assert "1 written" in dsal(*export, "nifti", "--out", tmp_path / "nifti").stdout
    assert "0 written, 1 were there" in dsal(*export, "nifti", "--out", tmp_path / "nifti").stdout
    (file,) = (tmp_path / "nifti" / "masks").iterdir()
    assert np.array_equal(np.asarray(nibabel.load(file).dataobj)[..., 0].T, mask)

    source.unlink()
    again = dsal(*export, "dicom-seg", "--out", tmp_path / "again")
    assert again.returncode == 1
    assert "1 image could not be exported" in again.stdout


def test_an_interrupted_import_is_completed(client: LabelStudio, project: int, tmp_path: Path) -> None:
    """Label Studio has the image, but its task lacks the other data."""
    made = [radiograph(gradient(), BitsStored=12) for _ in range(2)]
    for count, each in enumerate(made):
        write(each, tmp_path / f"{count}.dcm")
    names = [pseudonym(each.SOPInstanceUID, SECRET.encode()) for each in made]
    begun = client.upload(project, {image_name(names[0]): png(np.zeros((40, 60), np.uint8))})
    outcome = import_dicom(client, project, [tmp_path], SECRET.encode())
    found = {task.id: task.data for task in client.tasks(project)}
    assert sorted(outcome.imported) == sorted(found)
    assert {data["dicom"] for data in found.values()} == set(names)
    assert found[begun[image_name(names[0])]]["dicom"] == names[0]


def test_a_project_without_a_config_is_refused_before_anything_is_uploaded(
    client: LabelStudio, tmp_path: Path
) -> None:
    number = client.create_project("Empty")["id"]
    write(radiograph(gradient(), BitsStored=12), tmp_path / "made.dcm")
    with pytest.raises(LabelStudioError, match=f"dsal connect --project {number} creates"):
        import_dicom(client, number, [tmp_path], SECRET.encode())
    assert list(client.tasks(number)) == []
    client.delete_project(number)
