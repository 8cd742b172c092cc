"""DICOM files as images: pydicom's own test files in all their transfer syntaxes, and hostile ones."""

from __future__ import annotations

import io
import re
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from model.dicom import SUFFIXES, DicomError
from model.dicom.reader import DicomReader
from model.dicom.reading import encode_png
from tests.model.dicom.files import folders, gradient, jpeg, own, pixels_of, radiograph, write

WHITE = 65535


def stretched(values: np.ndarray) -> np.ndarray:
    """Grey over the whole range of the values, as an image without a window is shown."""
    shown: np.ndarray = np.rint((values - values.min()) / (values.max() - values.min()) * WHITE)
    return shown


def refusal(reader: DicomReader, path: Path) -> str:
    with pytest.raises(DicomError) as refused:
        reader.read(path)
    return str(refused.value)


# Transfer syntaxes: the compressed file and the same image uncompressed, from pydicom's test files.
LOSSLESS = [
    ("693_J2KR.dcm", "693_UNCR.dcm"),
    ("MR2_J2KR.dcm", "MR2_UNCR.dcm"),
    ("RG3_J2KR.dcm", "RG3_UNCR.dcm"),
    ("MR_small_RLE.dcm", "MR_small.dcm"),
    ("MR_small_jp2klossless.dcm", "MR_small.dcm"),
    ("MR_small_jpeg_ls_lossless.dcm", "MR_small.dcm"),
    ("MR_small_bigendian.dcm", "MR_small.dcm"),
    ("MR_small_implicit.dcm", "MR_small.dcm"),
]


@pytest.mark.parametrize(("compressed", "plain"), LOSSLESS)
def test_a_lossless_form_gives_the_same_pixels(reader: DicomReader, compressed: str, plain: str) -> None:
    found, expected = reader.read(own(compressed)), reader.read(own(plain))
    assert np.array_equal(found.pixels, expected.pixels)
    assert len(np.unique(found.pixels)) > 50


@pytest.mark.parametrize(
    "name",
    [
        "JPEG-LL.dcm",  # JPEG Lossless SV1, signed, 16 bits
        "JPEG2000.dcm",  # JPEG 2000, lossy
        "JPEG2000_UNC.dcm",
        "JPEGLSNearLossless_08.dcm",
        "JPEGLSNearLossless_16.dcm",
        "explicit_VR-UN.dcm",
        "image_dfl.dcm",  # deflated
    ],
)
def test_without_a_window_the_pixels_are_the_stored_values(reader: DicomReader, name: str) -> None:
    found = reader.read(own(name))
    values = pixels_of(own(name))
    padding = dcmread(own(name)).get("PixelPaddingValue")
    if padding is None:
        assert np.array_equal(found.pixels, stretched(values))
    else:
        shown = values != padding
        assert np.array_equal(np.unique(values[shown]).size, np.unique(found.pixels[shown]).size)


@pytest.mark.parametrize(
    "name", ["RG1_UNCR.dcm", "RG3_J2KI.dcm", "JPGLosslessP14SV1_1s_1f_8b.dcm", "MR2_J2KI.dcm"]
)
def test_a_window_and_monochrome1_are_applied(reader: DicomReader, name: str) -> None:
    header = dcmread(own(name))
    values = header.pixel_array * float(header.get("RescaleSlope", 1)) + float(
        header.get("RescaleIntercept", 0)
    )
    centre, width = (np.atleast_1d(header[keyword].value)[0] for keyword in ("WindowCenter", "WindowWidth"))
    expected = np.clip((values - (float(centre) - 0.5)) / (float(width) - 1) + 0.5, 0, 1) * WHITE
    if header.PhotometricInterpretation == "MONOCHROME1":
        expected = WHITE - expected
    assert np.abs(reader.read(own(name)).pixels - expected).max() <= 0.5001


@pytest.mark.parametrize(
    "syntax", [ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian, RLELossless, JPEGLSLossless]
)
@pytest.mark.parametrize("kind", ["12 bits", "16 bits signed", "8 bits"])
def test_radiographs_in_other_syntaxes_equal_their_pixels(
    reader: DicomReader, tmp_path: Path, syntax: str, kind: str
) -> None:
    pixels: np.ndarray = gradient()
    attributes: dict[str, Any] = {"BitsStored": 12}
    if kind == "8 bits":
        pixels, attributes = (pixels // 16).astype(np.uint8), {}
    elif kind == "16 bits signed":
        pixels, attributes = (gradient(top=60000).astype(np.int32) - 30000).astype(np.int16), {}
    made = radiograph(pixels, **attributes)
    if syntax in (ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian):
        made.file_meta.TransferSyntaxUID = syntax
        path = write(made, tmp_path / "made.dcm")
    else:
        path = write(made, tmp_path / "made.dcm", syntax)
    assert np.array_equal(reader.read(path).pixels, stretched(pixels.astype(float)))


def test_lossy_forms_equal_pydicoms_decoding_and_stay_near_the_image(
    reader: DicomReader, tmp_path: Path
) -> None:
    pixels = (gradient() // 16).astype(np.uint8)
    near = radiograph(gradient(), BitsStored=12)
    near.compress(JPEGLSNearLossless, jls_error=3)
    for path in (jpeg(pixels, tmp_path / "jpeg.dcm"), write(near, tmp_path / "near.dcm")):
        decoded = pixels_of(path)
        assert np.array_equal(reader.read(path).pixels, stretched(decoded))
    assert np.abs(pixels_of(tmp_path / "jpeg.dcm") - pixels).max() <= 6
    assert np.abs(pixels_of(tmp_path / "near.dcm") - gradient()).max() <= 3


def test_every_file_is_read_or_refused_in_a_sentence(reader: DicomReader) -> None:
    """All that comes with pydicom: colour, several frames, plans, reports, indices, damaged ones."""
    read, reasons = 0, []
    for path in sorted(path for folder in folders() for path in folder.rglob("*") if path.is_file()):
        try:
            found = reader.read(path)
        except DicomError as error:
            reasons.append(str(error))
        else:
            read += 1
            assert found.pixels.dtype == np.uint16
            assert found.uid
    assert read >= 65
    assert [reason for reason in reasons if not re.fullmatch(r"It[s ].{15,}\.", reason)] == []
    for part in (
        "colour",
        "frames",
        "no pixels",
        "not a DICOM file",
        "cut short",
        "more than 16 bits",
        "12 bits",
    ):
        assert any(part in reason for reason in reasons), part


def test_a_document_is_refused(reader: DicomReader, tmp_path: Path) -> None:
    made = radiograph(gradient())
    del made.PixelData
    made.SOPClassUID = made.file_meta.MediaStorageSOPClassUID = "1.2.840.10008.5.1.4.1.1.104.1"
    made.EncapsulatedDocument = b"%PDF-1.7 Jane Doe"
    assert "document such as a PDF" in refusal(reader, write(made, tmp_path / "pdf.dcm"))


def set_to(**attributes: Any) -> Callable[[FileDataset], None]:
    def change(made: FileDataset) -> None:
        for keyword, value in attributes.items():
            setattr(made, keyword, value)

    return change


def without(*keywords: str) -> Callable[[FileDataset], None]:
    def change(made: FileDataset) -> None:
        for keyword in keywords:
            del made[keyword]

    return change


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (set_to(Rows=60000, Columns=60000), "60000×60000 pixels, more than the 100000000 allowed"),
        (set_to(Rows=50), "cut short"),
        (set_to(PixelData=b""), "cut short"),
        (set_to(NumberOfFrames=2), "2 frames"),
        (set_to(SamplesPerPixel=3), "colour"),
        (set_to(PhotometricInterpretation="PALETTE COLOR"), "colour"),
        (set_to(BitsAllocated=32), "more than 16 bits"),
        (set_to(HighBit=15), "unusual bits"),
        (set_to(PixelRepresentation=7), "signed"),
        (without("Rows"), "lacks the attribute Rows"),
        (without("BitsStored"), "lacks the attribute BitsStored"),
        (without("SOPInstanceUID"), "lacks the attribute SOPInstanceUID"),
        (without("PhotometricInterpretation"), "colour"),
        (without("PixelData"), "no pixels"),
        (set_to(PixelSpacing=[8.0, 1.0], Rows=20000, Columns=2000), "pixels allowed"),
    ],
)
def test_what_is_not_one_grey_image_is_refused(
    reader: DicomReader, tmp_path: Path, change: Callable[[FileDataset], None], sentence: str
) -> None:
    made = radiograph(gradient(), BitsStored=12)
    change(made)
    path = tmp_path / "made.dcm"
    made.save_as(path)
    assert sentence in refusal(reader, path)


def test_files_cut_at_any_place_are_refused(reader: DicomReader, tmp_path: Path) -> None:
    whole = write(radiograph(gradient(), BitsStored=12), tmp_path / "whole.dcm").read_bytes()
    for length in (0, 1, 131, 132, 140, 300, 500, 700, len(whole) // 2, len(whole) - 2):
        path = tmp_path / "cut.dcm"
        path.write_bytes(whole[:length])
        assert refusal(reader, path)


def test_a_length_that_is_wrong_is_refused(reader: DicomReader, tmp_path: Path) -> None:
    whole = write(radiograph(gradient(), BitsStored=12), tmp_path / "whole.dcm").read_bytes()
    rows = whole.index(b"\x28\x00\x10\x00US\x02\x00")
    path = tmp_path / "long.dcm"
    path.write_bytes(whole[: rows + 6] + struct.pack("<H", 65535) + whole[rows + 8 :])
    assert refusal(reader, path)


def test_private_attributes_and_wrong_values_elsewhere_do_no_harm(
    reader: DicomReader, tmp_path: Path
) -> None:
    made = radiograph(gradient(), BitsStored=12)
    made.add_new(0x00091010, "UN", b"\x00private" * 1000)
    made.PixelSpacing = [0, 0]
    found = reader.read(write(made, tmp_path / "made.dcm"))
    assert np.array_equal(found.pixels, stretched(gradient().astype(float)))
    assert found.notes == ("its PixelSpacing is unusable and is ignored",)


@pytest.mark.parametrize(
    ("attributes", "shown", "spacing"),
    [
        ({"PixelSpacing": [0.2, 0.1]}, (80, 60), (0.1, 0.1)),
        ({"ImagerPixelSpacing": [0.1, 0.3]}, (40, 180), (0.1, 0.1)),
        ({"PixelSpacing": [0.143, 0.143], "ImagerPixelSpacing": [0.3, 0.1]}, (40, 60), (0.143, 0.143)),
        ({"PixelAspectRatio": [3, 2]}, (60, 60), None),
        ({}, (40, 60), None),
    ],
)
def test_annotators_see_the_true_shape(
    reader: DicomReader,
    tmp_path: Path,
    attributes: dict[str, Any],
    shown: tuple[int, int],
    spacing: tuple[float, float] | None,
) -> None:
    found = reader.read(write(radiograph(gradient(), BitsStored=12, **attributes), tmp_path / "made.dcm"))
    assert found.pixels.shape == shown
    assert found.source_size == (40, 60)
    assert found.spacing == pytest.approx(spacing)
    with Image.open(io.BytesIO(encode_png(found))) as png:
        assert png.mode == "I;16"
        assert np.array_equal(np.asarray(png), found.pixels)
        if spacing is not None:
            assert png.info["dpi"] == pytest.approx((25.4 / spacing[1], 25.4 / spacing[0]), rel=1e-3)
        assert set(png.info) <= {"dpi"}, "no text in the file"


@pytest.mark.parametrize(
    "syntax", [None, ImplicitVRLittleEndian, RLELossless, DeflatedExplicitVRLittleEndian]
)
def test_the_uid_of_a_large_file_is_known_without_its_pixels(
    reader: DicomReader, tmp_path: Path, syntax: str | None
) -> None:
    pixels = np.random.default_rng(0).integers(0, 65536, (1000, 700), np.uint16)
    made = radiograph(pixels)
    if syntax == RLELossless:
        path = write(made, tmp_path / "made.dcm", syntax)
    else:
        made.file_meta.TransferSyntaxUID = syntax or made.file_meta.TransferSyntaxUID
        path = write(made, tmp_path / "made.dcm")
    assert path.stat().st_size > 2**20
    assert reader.uid(path) == made.SOPInstanceUID == reader.read(path).uid
    del made.PixelData
    with pytest.raises(DicomError, match="It has no pixels"):
        reader.uid(write(made, tmp_path / "made.dcm"))


def test_suffixes_are_in_small_letters() -> None:
    assert {suffix.lower() for suffix in SUFFIXES} == SUFFIXES
