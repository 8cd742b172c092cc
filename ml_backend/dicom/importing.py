"""Import of DICOM files into a Label Studio project: an image and a task for each, under its pseudonym."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ml_backend.dicom.folders import find_files
from ml_backend.dicom.pseudonyms import FIELD, pseudonym
from ml_backend.dicom.uploads import Uploads
from ml_backend.label_studio.client import LabelStudio
from model.dicom import DicomError
from model.dicom.reader import DicomReader
from model.dicom.reading import DicomImage, encode_png
from model.imaging.decoding import MAX_PIXELS

SPACING = "pixel_spacing_mm"
"""Key of the task data with the distances of rows and of columns in the uploaded image, in mm."""
BETWEEN = " × "
MAX_BYTES = 64 * 2**20

Progress = Callable[[int, int], None]


@dataclass
class Import:
    """What came of an import. File names and reasons are for the person who runs it, and go nowhere else.

    Attributes:
        imported: ids of the new tasks.
        known: files whose image the project had, or that repeat an earlier file.
        refused: reason by file that has no usable image.
        notes: by imported file, what of it was ignored.
        others: files in the folders that are not DICOM.
    """

    imported: list[int] = field(default_factory=list)
    known: int = 0
    refused: dict[Path, str] = field(default_factory=dict)
    notes: dict[Path, tuple[str, ...]] = field(default_factory=dict)
    others: int = 0


def import_dicom(
    client: LabelStudio,
    project: int,
    places: Sequence[Path],
    secret: bytes,
    *,
    progress: Progress | None = None,
    max_pixels: int = MAX_PIXELS,
    max_bytes: int = MAX_BYTES,
) -> Import:
    """Make a task of each DICOM image in files and folders that the project does not have yet.

    A task's data has the image, its pseudonym and its pixel spacing. A file that cannot be used is reported,
    and the others go on. An import that was interrupted is completed by running it again.

    Args:
        client: of the Label Studio.
        project: its number; it needs a labeling config.
        places: files, and folders that are searched with all folders in them.
        secret: of the installation, for pseudonyms.
        progress: called with (done, total) after each file.
        max_pixels: largest image.
        max_bytes: largest PNG that is uploaded.

    Raises:
        DicomMissingError: the extra `dicom` is not installed.
        LabelStudioError: Label Studio is unreachable or refuses; tasks made before stay.
    """
    with DicomReader(max_pixels=max_pixels) as reader:
        uploads = Uploads(client, project)
        found = find_files(places)
        outcome = Import(refused=dict(found.unreadable), others=found.others)
        for done, path in enumerate(found.files, start=1):
            try:
                name = pseudonym(reader.uid(path), secret)
                if uploads.has(name):
                    outcome.known += 1
                else:
                    image = reader.read(path)
                    uploads.add(name, _png(image, max_bytes), _data(image, name))
                    if image.notes:
                        outcome.notes[path] = image.notes
            except DicomError as error:
                outcome.refused[path] = str(error)
            except OSError as error:
                outcome.refused[path] = f"{error.strerror or 'It cannot be read'}."
            if progress is not None:
                progress(done, len(found.files))
        uploads.send()
    outcome.imported = uploads.made
    return outcome


def spacing_of(data: Mapping[str, Any]) -> tuple[float, float] | None:
    """The distances of rows and of columns, in mm, in a task's data; None if it has none that make sense."""
    try:
        rows, columns = (float(mm) for mm in str(data.get(SPACING, "")).split(BETWEEN.strip()))
    except ValueError:
        return None
    return (rows, columns) if 0 < rows < math.inf and 0 < columns < math.inf else None


def _png(image: DicomImage, max_bytes: int) -> bytes:
    png = encode_png(image)
    if len(png) > max_bytes:
        raise DicomError(f"Its PNG has {len(png)} bytes, more than the {max_bytes} of MAX_IMAGE_BYTES.")
    return png


def _data(image: DicomImage, name: str) -> dict[str, str]:
    """The task data besides the image: all that is kept of the file."""
    spacing = {} if image.spacing is None else {SPACING: BETWEEN.join(f"{mm:.6g}" for mm in image.spacing)}
    return {FIELD: name, **spacing}
