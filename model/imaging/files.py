"""Image files in folders: pictures, and DICOM where its extra is installed."""

from __future__ import annotations

import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from model import dicom
from model.imaging.decoding import Grey, ImageError, decode_image

if TYPE_CHECKING:
    from model.dicom.reader import DicomReader

IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".webp"})


def readable_suffixes() -> frozenset[str]:
    """Suffixes of the image files that `ImageFiles` reads here, in small letters."""
    return IMAGE_SUFFIXES | dicom.SUFFIXES if dicom.is_installed() else IMAGE_SUFFIXES


def as_text(path: Path | str) -> str:
    r"""A path or name that any file can hold: bytes that are no UTF-8 become `\xff`."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


class ImageFiles:
    """Reads one file after the other; a context manager, which ends the process that reads DICOM files."""

    def __init__(self) -> None:
        self._dicom: DicomReader | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._dicom is not None:
            self._dicom.close()

    def read(self, path: Path) -> Grey:
        """The grey image (H, W) in a file; that of a DICOM file has square pixels, as in `read_dicom`.

        Raises:
            ImageError: the file has no usable image.
            DicomMissingError: it is a DICOM file, and the extra `dicom` is not installed.
            OSError: it cannot be read.
        """
        if path.suffix.lower() not in dicom.SUFFIXES:
            return decode_image(path.read_bytes())
        if self._dicom is None:
            from model.dicom.reader import DicomReader

            self._dicom = DicomReader()
        try:
            return self._dicom.read(path).pixels
        except dicom.DicomError as error:
            raise ImageError(str(error)) from error
