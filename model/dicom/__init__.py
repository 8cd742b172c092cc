"""DICOM files in, as grey images; masks out, as DICOM-SEG and NIfTI. Needs the extra `dicom`."""

from __future__ import annotations

from importlib.util import find_spec

MISSING = 'DICOM support is not installed: run pip install "dsal[dicom]".'
SUFFIXES = frozenset({".dcm", ".dicom"})
"""Suffixes of DICOM files in folders of images."""


class DicomError(ValueError):
    """A file cannot be used; the message is one sentence that quotes nothing from the file.

    DICOM files carry names and numbers of patients, and messages end up in logs. So no message of this
    package contains a value of an attribute or the text of another library's error.
    """


class DicomMissingError(RuntimeError):
    """The extra `dicom` is not installed."""

    def __init__(self) -> None:
        super().__init__(MISSING)


def is_installed() -> bool:
    """Whether DICOM files can be read here."""
    return find_spec("pydicom") is not None


def require() -> None:
    """Raise DicomMissingError unless all packages of the extra `dicom` are installed."""
    if not all(find_spec(name) is not None for name in ("pydicom", "highdicom", "nibabel")):
        raise DicomMissingError
