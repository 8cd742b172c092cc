"""DICOM files in folders: which there are, and which of them belongs to a pseudonym."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ml_backend.dicom.pseudonyms import pseudonym
from model.dicom import DicomError
from model.dicom.header import looks_like_dicom
from model.dicom.reader import DicomReader
from model.imaging.decoding import MAX_PIXELS

INDEX = "DICOMDIR"
"""Name of the index of a folder or disc, which is in the DICOM format but has no image."""

Progress = Callable[[int, int], None]


@dataclass
class Found:
    """What was found: DICOM files, sorted; the number of other files; and what cannot be read, with why."""

    files: list[Path] = field(default_factory=list)
    others: int = 0
    unreadable: dict[Path, str] = field(default_factory=dict)


def find_files(places: Sequence[Path]) -> Found:
    """The DICOM files below these folders, by content and not by name, and the files that are named.

    A named file is always among them, so that it is reported if it is not DICOM; so is one in a folder if it
    calls itself DICOM by its suffix.
    """
    found = Found()
    for place in places:
        if not place.is_dir():
            found.files.append(place)
            continue
        for path in _below(place, found):
            try:
                wanted = path.suffix.lower() in (".dcm", ".dicom") or looks_like_dicom(path)
            except OSError as error:
                found.unreadable[path] = f"{error.strerror}."
                continue
            if wanted:
                found.files.append(path)
            else:
                found.others += 1
    found.files = list(dict.fromkeys(found.files))
    return found


def find_sources(
    folder: Path,
    wanted: Collection[str],
    secret: bytes,
    progress: Progress | None = None,
    *,
    max_pixels: int = MAX_PIXELS,
) -> dict[str, Path]:
    """The DICOM file of each of these pseudonyms that has one below a folder.

    `progress` is called with (done, total) after each file; the search ends when all are found.
    `max_pixels` is that of the import.
    """
    missing, sources = set(wanted), {}
    files = find_files([folder]).files
    with DicomReader(max_pixels=max_pixels) as reader:
        for done, path in enumerate(files, start=1):
            if not missing:
                break
            try:
                name = pseudonym(reader.uid(path), secret)
            except (DicomError, OSError):
                continue
            finally:
                if progress is not None:
                    progress(done, len(files))
            if name in missing:
                missing.discard(name)
                sources[name] = path
    return sources


def _below(folder: Path, found: Found) -> Iterator[Path]:
    """All files below a folder, sorted within each; folders behind links are not entered."""

    def note(error: OSError) -> None:
        found.unreadable[Path(error.filename)] = f"{error.strerror}."

    for parent, folders, names in os.walk(folder, onerror=note):
        folders.sort()
        for name in sorted(names):
            path = Path(parent, name)
            if not path.is_file():
                continue
            if name == INDEX:
                found.others += 1
            else:
                yield path
