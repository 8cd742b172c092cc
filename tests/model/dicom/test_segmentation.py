"""DICOM Segmentations, read back by highdicom and by plain pydicom."""

from __future__ import annotations

from pathlib import Path

import highdicom
import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread

from model.dicom import DicomError
from model.dicom.segmentation import write_segmentation
from model.dicom.shape import to_shown
from tests.model.dicom.files import gradient, own, radiograph, write

Mask = NDArray[np.bool_]


def masks_of(path: Path) -> dict[str, Mask]:
    """Two that overlap, in the pixels of a file, and an empty one."""
    header = dcmread(path, stop_before_pixels=True)
    draw = np.random.default_rng(5)
    size = header.Rows, header.Columns
    return {
        "Bone": draw.random(size) > 0.6,
        "Wachstumsfuge, 骨": draw.random(size) > 0.8,
        "none": np.zeros(size, bool),
    }


def frames(path: Path) -> dict[str, Mask]:
    """Masks by segment label, from the frames as plain pydicom reads them."""
    found = dcmread(path)
    names = {segment.SegmentNumber: segment.SegmentLabel for segment in found.SegmentSequence}
    pixels = found.pixel_array.reshape(-1, found.Rows, found.Columns)
    masks = {}
    for frame, groups in zip(pixels, found.PerFrameFunctionalGroupsSequence, strict=True):
        # What all frames have in common is written once.
        place = (
            groups if "SegmentIdentificationSequence" in groups else found.SharedFunctionalGroupsSequence[0]
        )
        number = place.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        masks[names[number]] = frame.astype(bool)
    return masks


@pytest.mark.parametrize(
    "name",
    [
        "RG1_UNCR.dcm",
        "RG3_J2KR.dcm",
        "6154",
        "CT_small.dcm",
        "MR_small_RLE.dcm",
        "JPEG-LL.dcm",
        "image_dfl.dcm",
    ],
)
def test_two_readers_find_the_masks_to_the_pixel(tmp_path: Path, name: str) -> None:
    """Plain radiographs without a frame of reference, slices of CT and MR with one, other images."""
    source = next(own("CT_small.dcm").parent.rglob("6154")) if name == "6154" else own(name)
    masks = masks_of(source)
    write_segmentation(masks, source, tmp_path / "seg.dcm", version="p1-r002-calm-otter")
    image = dcmread(source)

    read = highdicom.seg.segread(tmp_path / "seg.dcm")
    assert [segment.SegmentLabel for segment in read.SegmentSequence] == list(masks)
    pixels = read.get_pixels_by_source_instance([image.SOPInstanceUID])
    for place, mask in enumerate(masks.values()):
        assert np.array_equal(pixels[0, ..., place], mask)

    plain = frames(tmp_path / "seg.dcm")
    assert {label: mask.sum() for label, mask in plain.items()} == {
        label: mask.sum() for label, mask in masks.items() if mask.any()
    }
    assert all(np.array_equal(mask, masks[label]) for label, mask in plain.items())


def test_the_references_lead_to_image_series_study_and_patient(tmp_path: Path) -> None:
    source = own("CT_small.dcm")
    write_segmentation(masks_of(source), source, tmp_path / "seg.dcm", version="p1-r002-calm-otter")
    image, found = dcmread(source), dcmread(tmp_path / "seg.dcm")
    for keyword in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "PatientName", "StudyDate"):
        assert found[keyword].value == image[keyword].value
    assert found.SeriesInstanceUID != image.SeriesInstanceUID
    (series,) = found.ReferencedSeriesSequence
    assert series.SeriesInstanceUID == image.SeriesInstanceUID
    for (item,) in (
        series.ReferencedInstanceSequence,
        found.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].SourceImageSequence,
    ):
        assert (item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID) == (
            image.SOPClassUID,
            image.SOPInstanceUID,
        )
    segment = found.SegmentSequence[0]
    assert segment.SegmentedPropertyCategoryCodeSequence[0].CodeMeaning == "Anatomical Structure"
    assert segment.SegmentedPropertyTypeCodeSequence[0].CodeMeaning == "Bone"
    assert segment.SegmentAlgorithmType == "AUTOMATIC"
    assert segment.SegmentationAlgorithmIdentificationSequence[0].AlgorithmVersion == "p1-r002-calm-otter"


def test_what_people_drew_is_manual(tmp_path: Path) -> None:
    source = write(radiograph(gradient()), tmp_path / "made.dcm")
    write_segmentation({"Bone": np.ones((40, 60), bool)}, source, tmp_path / "seg.dcm")
    found = dcmread(tmp_path / "seg.dcm")
    assert found.SegmentSequence[0].SegmentAlgorithmType == "MANUAL"
    assert "FrameOfReferenceUID" not in found
    assert frames(tmp_path / "seg.dcm")["Bone"].all()


def test_masks_of_stretched_images_come_back_to_the_source(tmp_path: Path) -> None:
    source = write(radiograph(gradient(), ImagerPixelSpacing=[0.1, 0.25]), tmp_path / "made.dcm")
    masks = {label: mask for label, mask in masks_of(source).items() if mask.any()}
    shown = {label: to_shown(mask, (40, 150)) for label, mask in masks.items()}
    write_segmentation(shown, source, tmp_path / "seg.dcm")
    plain = frames(tmp_path / "seg.dcm")
    assert all(np.array_equal(plain[label], mask) for label, mask in masks.items())


def test_an_image_without_any_mask_is_written(tmp_path: Path) -> None:
    source = write(radiograph(gradient()), tmp_path / "made.dcm")
    write_segmentation({"Bone": np.zeros((40, 60), bool)}, source, tmp_path / "seg.dcm")
    assert not frames(tmp_path / "seg.dcm")["Bone"].any()


def test_names_and_labels_in_other_alphabets_survive(tmp_path: Path) -> None:
    made = radiograph(gradient(), SpecificCharacterSet="ISO_IR 100", PatientName="Müller^Jürgen")
    source = write(made, tmp_path / "made.dcm")
    write_segmentation({"骨\\芽": np.ones((40, 60), bool)}, source, tmp_path / "seg.dcm")
    found = dcmread(tmp_path / "seg.dcm")
    assert str(found.PatientName) == "Müller^Jürgen"
    assert found.SegmentSequence[0].SegmentLabel == "骨/芽"


def test_labels_that_dicom_cannot_hold_are_written_as_it_can(tmp_path: Path) -> None:
    source = write(radiograph(gradient()), tmp_path / "made.dcm")
    labels = ("Growth\nplate", "\t", "\u2028", "  left \x85 hand ", "x" * 63 + " y")
    write_segmentation(dict.fromkeys(labels, np.ones((40, 60), bool)), source, tmp_path / "seg.dcm")
    segments = dcmread(tmp_path / "seg.dcm").SegmentSequence
    assert [segment.SegmentLabel for segment in segments] == [
        "Growth plate",
        "label 2",
        "label 3",
        "left hand",
        "x" * 63,
    ]


def test_what_cannot_be_referred_to_is_one_sentence(tmp_path: Path) -> None:
    mask = {"Bone": np.ones((40, 60), bool)}
    made = radiograph(gradient())
    source = write(made, tmp_path / "made.dcm")
    with pytest.raises(DicomError, match="has 40×60 pixels, but the DICOM image has 60×40"):
        write_segmentation({"Bone": np.ones((60, 40), bool)}, source, tmp_path / "seg.dcm")
    with pytest.raises(DicomError, match="no mask to write"):
        write_segmentation({}, source, tmp_path / "seg.dcm")
    content = source.read_bytes()
    place = content.index(b"\x20\x00\x0d\x00UI")
    source.write_bytes(content[: place + 4] + b"U\x01" + content[place + 6 :])
    with pytest.raises(DicomError, match="damaged"):
        write_segmentation(mask, source, tmp_path / "seg.dcm")
    del made.StudyInstanceUID
    with pytest.raises(DicomError, match="lacks the attribute StudyInstanceUID"):
        write_segmentation(mask, write(made, tmp_path / "made.dcm"), tmp_path / "seg.dcm")
    (tmp_path / "made.dcm").write_bytes(b"no DICOM")
    with pytest.raises(DicomError, match="not a DICOM file"):
        write_segmentation(mask, tmp_path / "made.dcm", tmp_path / "seg.dcm")
    assert not (tmp_path / "seg.dcm").exists()
