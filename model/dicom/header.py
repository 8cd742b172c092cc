"""What is read of a DICOM file: a list of attributes without any that could identify a patient."""

from __future__ import annotations

import math
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

from model.dicom import DicomError
from model.dicom.grey import Stored
from model.dicom.shape import Size

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

MAX_BYTES = 2**30
"""Larger files are refused before they are read; a single radiograph has less than 100 MB."""
MAX_RATIO = 8.0
"""Pixels that are longer than wide, or wider than long, by more than this are taken for a wrong attribute."""
BLOCK = 2**20
GROUP_LENGTH = 12
"""Bytes of the element with which the file's meta information begins: the length of what follows."""
PREAMBLE = 128
MAGIC = b"DICM"
DAMAGED = "It is damaged and cannot be read."

READ = (
    "SOPClassUID",
    "SOPInstanceUID",
    "Rows",
    "Columns",
    "NumberOfFrames",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "PixelAspectRatio",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "ModalityLUTSequence",
    "RescaleSlope",
    "RescaleIntercept",
    "VOILUTSequence",
    "VOILUTFunction",
    "WindowCenter",
    "WindowWidth",
    "EncapsulatedDocument",
    "FloatPixelData",
    "DoubleFloatPixelData",
    "PixelData",
)
"""The attributes that are read of a file; all others are skipped. Of these only the instance's UID says whose
image it is, and it leaves this package as `DicomImage.uid` alone."""
BULK = ("EncapsulatedDocument", "FloatPixelData", "DoubleFloatPixelData", "PixelData")
"""Those of them that may be megabytes."""
SPACINGS = ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
"""Attributes with the distance of rows and of columns, in mm, in the order in which they are believed."""


def looks_like_dicom(path: Path) -> bool:
    """Whether a file begins as DICOM files do.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        return file.read(PREAMBLE + len(MAGIC))[PREAMBLE:] == MAGIC


def read_header(path: Path, *, pixels: bool = True) -> FileDataset:
    """Read the attributes `READ` of a file, encoded pixels included.

    Without `pixels` large values of `BULK` are skipped; the header then says only that they are there. Of an
    image of 22 MiB, 12 KiB are read.

    Raises:
        DicomError: the file is not DICOM, is too large, or is damaged.
        OSError: the file cannot be read.
    """
    from pydicom import dcmread
    from pydicom.datadict import tag_for_keyword

    if not looks_like_dicom(path):
        raise DicomError("It is not a DICOM file.")
    if path.stat().st_size > MAX_BYTES:
        raise DicomError(f"It has more than {MAX_BYTES >> 20} MB, too much for a single image.")
    _check_unpacked(path)
    try:
        header = dcmread(path, specific_tags=list(READ), defer_size=None if pixels else BLOCK)
        # pydicom converts, and reads what it has skipped, when a value is first asked for.
        skipped = () if pixels else tuple(map(tag_for_keyword, BULK))
        for tag in tuple(header.keys()):
            if tag not in skipped:
                _ = header[tag]
    except OSError:
        raise
    # Beyond what it documents, pydicom raises almost anything on hostile files.
    except Exception as error:
        raise DicomError(DAMAGED) from error
    return header


def _check_unpacked(path: Path) -> None:
    """Raise DicomError if a data set is deflated, and has more than `MAX_BYTES` once it is unpacked."""
    from pydicom.filereader import read_file_meta_info
    from pydicom.uid import DeflatedExplicitVRLittleEndian

    try:
        meta = read_file_meta_info(path)
        if meta.get("TransferSyntaxUID") != DeflatedExplicitVRLittleEndian:
            return
        unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
        unpacked = 0
        with path.open("rb") as file:
            file.seek(PREAMBLE + len(MAGIC) + GROUP_LENGTH + int(meta.FileMetaInformationGroupLength))
            while not unpacker.eof and (packed := unpacker.unconsumed_tail or file.read(BLOCK)):
                unpacked += len(unpacker.decompress(packed, BLOCK))
                if unpacked > MAX_BYTES:
                    raise DicomError(
                        f"It unpacks to more than {MAX_BYTES >> 20} MB, so it is no single image."
                    )
    except DicomError:
        raise
    # As below.
    except Exception as error:
        raise DicomError(DAMAGED) from error


def check(header: FileDataset, max_pixels: int) -> tuple[Size, Stored]:
    """The size of the one grey image in a file and the form of its values, before any pixel is decoded.

    Raises:
        DicomError: the file has no such image, or the image has more than `max_pixels` pixels.
    """
    _check_kind(header)
    size = _count(header, "Rows"), _count(header, "Columns")
    if size[0] * size[1] > max_pixels:
        raise DicomError(f"Its image has {size[1]}×{size[0]} pixels, more than the {max_pixels} allowed.")
    allocated, bits = _count(header, "BitsAllocated"), _count(header, "BitsStored")
    if allocated not in (8, 16) or not 1 <= bits <= allocated:
        raise DicomError("Its pixels have more than 16 bits or fewer than 8; only 8 to 16 can be read.")
    if _count(header, "HighBit", bits - 1) != bits - 1:
        raise DicomError("Its pixels are stored in unusual bits (High Bit); convert it to a current form.")
    signed = _count(header, "PixelRepresentation", 0)
    if signed not in (0, 1):
        raise DicomError("It does not say whether its pixels are signed.")
    return size, Stored(bits, bool(signed))


def _check_kind(header: FileDataset) -> None:
    """Raise DicomError unless this is one grey image with whole numbers as pixels."""
    if "EncapsulatedDocument" in header:
        raise DicomError("It is a document such as a PDF and no image.")
    if "FloatPixelData" in header or "DoubleFloatPixelData" in header:
        raise DicomError("Its pixels are fractional; only whole numbers of 8 to 16 bits can be read.")
    if "PixelData" not in header:
        raise DicomError("It has no pixels: it is a report, a plan or the like, or it is cut short.")
    frames = _count(header, "NumberOfFrames", 1)
    if frames != 1:
        raise DicomError(f"It has {frames} frames; only single images can be read, so extract one of them.")
    kind = header.get("PhotometricInterpretation")
    if _count(header, "SamplesPerPixel", 1) != 1 or kind not in ("MONOCHROME1", "MONOCHROME2"):
        raise DicomError("It is a colour image; only grey ones (MONOCHROME1, MONOCHROME2) can be read.")


def ratio_and_spacing(header: FileDataset, notes: list[str]) -> tuple[float, tuple[float, float] | None]:
    """The height of a pixel over its width, and the distances (rows, columns) in mm if the file says them."""
    for keyword in SPACINGS:
        if (found := _pair(header, keyword, notes)) is not None:
            return found[0] / found[1], found
    found = _pair(header, "PixelAspectRatio", notes)
    return (1.0 if found is None else found[0] / found[1]), None


def _pair(header: FileDataset, keyword: str, notes: list[str]) -> tuple[float, float] | None:
    """Two positive numbers, first that of the rows; None if the attribute is absent or unusable."""
    value: Any = header.get(keyword)
    if value is None or value == "":
        return None
    try:
        first, second = (float(each) for each in value)
    except (TypeError, ValueError, ArithmeticError):
        first = second = 0.0
    usable = min(first, second) > 0 and math.isfinite(first) and math.isfinite(second)
    if not usable or max(first, second) > MAX_RATIO * min(first, second):
        notes.append(f"its {keyword} is unusable and is ignored")
        return None
    return first, second


def _count(header: FileDataset, keyword: str, otherwise: int | None = None) -> int:
    """A whole number that is not negative."""
    value: Any = header.get(keyword)
    if value is None or value == "":
        if otherwise is None:
            raise DicomError(f"It lacks the attribute {keyword}.")
        return otherwise
    try:
        number = int(value)
    except (TypeError, ValueError, ArithmeticError) as error:
        raise DicomError(f"Its attribute {keyword} is damaged.") from error
    if number < 0 or (number == 0 and keyword in ("Rows", "Columns")):
        raise DicomError(f"Its attribute {keyword} is damaged.")
    return number
