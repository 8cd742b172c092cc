"""One DICOM file to a grey image of 16 bits, in the shape in which annotators see it."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from model.dicom import DicomError, require
from model.dicom.grey import grey
from model.dicom.header import check, ratio_and_spacing, read_header
from model.dicom.shape import Size, enlarged, shown_size
from model.imaging.decoding import MAX_PIXELS

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

EXTENDED = "1.2.840.10008.1.2.4.51"
"""Transfer syntax JPEG Extended; with 12 bits, no decoder under a permissive licence reads it."""
MM_IN_INCH = 25.4


@dataclass(frozen=True, eq=False)
class DicomImage:
    """What is read of a file.

    Attributes:
        pixels: uint16 (H, W), grey as a viewer would show it first, with square pixels.
        source_size: height and width of the image in the file.
        spacing: distance of rows and of columns of `pixels`, in mm; None if the file does not say it.
        uid: SOP Instance UID. It identifies the image in the archive, and so the patient.
        notes: what of the file could not be used and was ignored, as parts of a sentence.
    """

    pixels: NDArray[np.uint16]
    source_size: Size
    spacing: tuple[float, float] | None
    uid: str
    notes: tuple[str, ...] = ()


def read_dicom(path: Path, *, max_pixels: int = MAX_PIXELS) -> DicomImage:
    """Read the single grey image of a DICOM file.

    The decoders of compressed pixels are libraries in C and C++, and hostile files can end the process;
    `model.dicom.reader` reads files in a process of their own.

    Raises:
        DicomMissingError: the extra `dicom` is not installed.
        DicomError: the file has no such image, is damaged, or has more than `max_pixels` pixels, also after
            pixels are made square.
        OSError: the file cannot be read.
    """
    require()
    header = read_header(path)
    size, stored = check(header, max_pixels)
    uid = _uid(header)
    notes: list[str] = []
    ratio, spacing = ratio_and_spacing(header, notes)
    shown = shown_size(size, ratio)
    if shown[0] * shown[1] > max_pixels:
        raise DicomError(f"With square pixels its image has more than the {max_pixels} pixels allowed.")
    pixels, ignored = grey(_decoded(header, size), header, stored)
    if spacing is not None:
        spacing = spacing[0] * size[0] / shown[0], spacing[1] * size[1] / shown[1]
    return DicomImage(enlarged(pixels, shown), size, spacing, uid, (*notes, *ignored))


def read_uid(path: Path, *, max_pixels: int = MAX_PIXELS) -> str:
    """SOP Instance UID of a file with a single grey image, without decoding it.

    Raises:
        DicomError, OSError: as in `read_dicom`, except for damaged pixels.
    """
    header = read_header(path, pixels=False)
    check(header, max_pixels)
    return _uid(header)


def encode_png(image: DicomImage) -> bytes:
    """The image as a 16-bit PNG, with its spacing as pHYs and nothing else from the file."""
    out = io.BytesIO()
    density = {} if image.spacing is None else {"dpi": tuple(MM_IN_INCH / mm for mm in image.spacing[::-1])}
    # Level 1 takes a fifth to two thirds of the default's time, and the file is at most a fifth larger.
    Image.fromarray(image.pixels).save(out, "PNG", compress_level=1, **density)
    return out.getvalue()


def _uid(header: FileDataset) -> str:
    uid = str(header.get("SOPInstanceUID") or "").strip()
    if not uid:
        raise DicomError("It lacks the attribute SOPInstanceUID, so masks could not find back to it.")
    return uid


def _decoded(header: FileDataset, size: Size) -> NDArray[Any]:
    """The stored values (h, w)."""
    try:
        pixels = header.pixel_array
    # Beyond what it documents, pydicom and its decoders raise almost anything on hostile files.
    except Exception as error:
        raise DicomError(_reason(header)) from error
    if pixels.shape != size:
        raise DicomError("Its pixels are not those that its header describes.")
    return np.asarray(pixels)


def _reason(header: FileDataset) -> str:
    from pydicom.uid import AllTransferSyntaxes

    syntax = header.file_meta.get("TransferSyntaxUID")
    if syntax is None or syntax not in AllTransferSyntaxes:
        return "It does not say in which form its pixels are stored (Transfer Syntax UID)."
    if not syntax.is_encapsulated:
        return "It is cut short: it has fewer pixels than its header says."
    if syntax == EXTENDED and header.get("BitsStored") != 8:
        return (
            "It is a JPEG of 12 bits (JPEG Extended), which no decoder here reads: install "
            "pylibjpeg-libjpeg, which is under the GPL, or convert the file."
        )
    return f"Its pixels cannot be decoded: they are damaged, or an unusual kind of {syntax.name}."
