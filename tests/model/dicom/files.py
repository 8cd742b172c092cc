"""DICOM files for tests: pydicom's own, and ones that are made."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    ExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    generate_uid,
)


def own(name: str) -> Path:
    """One of pydicom's test files, in its package or in pydicom-data."""
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str), f"{name} is not installed"
    return Path(path)


def folders() -> list[Path]:
    """The folders of all of them."""
    return [own("CT_small.dcm").parent, own("693_UNCR.dcm").parent]


def pixels_of(path: Path) -> NDArray[np.float64]:
    """The stored values of a file as pydicom decodes them in this process."""
    return np.asarray(dcmread(path).pixel_array, np.float64)


def radiograph(pixels: NDArray[Any], **attributes: Any) -> FileDataset:
    """A plain radiograph (CR) with all that the standard wants of one, and these further attributes."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = ComputedRadiographyImageStorage
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPInstanceUID = generate_uid()
    made = FileDataset("", Dataset(), preamble=b"\0" * 128, file_meta=meta)
    made.SOPClassUID, made.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    made.StudyInstanceUID, made.SeriesInstanceUID = generate_uid(), generate_uid()
    made.Modality = "CR"
    made.PatientName, made.PatientID = "Doe^Jane", "12345"
    made.Rows, made.Columns = pixels.shape
    made.SamplesPerPixel, made.PhotometricInterpretation = 1, "MONOCHROME2"
    made.BitsAllocated = made.BitsStored = pixels.dtype.itemsize * 8
    made.HighBit = made.BitsStored - 1
    made.PixelRepresentation = int(np.issubdtype(pixels.dtype, np.signedinteger))
    made.PixelData = pixels.tobytes()
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    if "BitsStored" in attributes:
        made.HighBit = made.BitsStored - 1
    return made


def write(made: FileDataset, path: Path, syntax: str | None = None) -> Path:
    """Write a file, compressed if a transfer syntax is given that pydicom can encode."""
    if syntax is not None and syntax != made.file_meta.TransferSyntaxUID:
        made.compress(syntax)
    made.save_as(path, enforce_file_format=True)
    return path


def jpeg(pixels: NDArray[np.uint8], path: Path) -> Path:
    """A radiograph of 8 bits as JPEG Baseline."""
    made = radiograph(pixels)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=90)
    made.file_meta.TransferSyntaxUID = JPEGBaseline8Bit
    made.PixelData = encapsulate([out.getvalue()])
    made["PixelData"].is_undefined_length = True
    return write(made, path)


def gradient(height: int = 40, width: int = 60, top: int = 4095) -> NDArray[np.uint16]:
    """A picture in which all pixels differ as far as `top` allows."""
    return np.linspace(0, top, height * width).reshape(height, width).astype(np.uint16)
