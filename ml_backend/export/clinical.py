"""Formats for viewers and archives: DICOM Segmentations and NIfTI, in the pixels of the DICOM files.

Their files are found once, before the first picture: a task says nothing of its file but a pseudonym, so the
headers of all files in a folder are read (`ml_backend.dicom.folders`).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.dicom.folders import Progress, find_sources
from ml_backend.dicom.importing import spacing_of
from ml_backend.dicom.pseudonyms import pseudonym_of
from ml_backend.export.formats import Format, Records, replace_text
from ml_backend.export.pictures import (
    CannotExpressError,
    FileMissingError,
    Legend,
    Picture,
    hidden_pixels,
)
from ml_backend.export.source import Item, LeftOut, Source
from ml_backend.label_studio.regions.reading import UNKNOWN
from model.dicom import DicomError
from model.dicom.nifti import write_nifti
from model.dicom.segmentation import write_segmentation
from model.imaging.decoding import MAX_PIXELS

Data = Mapping[str, Any]
"""The data of a task."""


@dataclass
class DicomFiles:
    """The DICOM files from which the images of tasks were made.

    Attributes:
        folder: where they are looked for, with all folders in it.
        secret: of the installation, for pseudonyms.
        tasks: gives the data of the tasks whose files are wanted.
        progress: called with (done, total) after each file that was looked at.
        max_pixels: largest image.
    """

    folder: Path
    secret: bytes
    tasks: Callable[[], Iterable[Data]]
    progress: Progress | None = None
    max_pixels: int = MAX_PIXELS
    _found: dict[str, Path] = field(default_factory=dict, init=False)

    def find(self) -> None:
        """Find the files; `of` then knows them."""
        wanted = {name for data in self.tasks() if (name := pseudonym_of(data)) is not None}
        self._found = find_sources(
            self.folder, wanted, self.secret, self.progress, max_pixels=self.max_pixels
        )

    def of(self, data: Data) -> Path:
        """The DICOM file of a task.

        Raises:
            CannotExpressError: the task is not from a DICOM file.
            FileMissingError: its file was not found, or is gone. The message does not name the folder, whose
                name may be that of a patient.
        """
        name = pseudonym_of(data)
        if name is None:
            raise CannotExpressError("It was not imported by dsal import-dicom, so it has no DICOM file.")
        path = self._found.get(name)
        if path is None:
            raise FileMissingError(
                "Its DICOM file is not in the folder of --dicom, or it was imported under another "
                "DICOM_SECRET or MODEL_DIR."
            )
        try:
            with path.open("rb"):
                return path
        except OSError as error:
            raise FileMissingError(f"Its DICOM file cannot be read: {error.strerror}.") from error


class FromDicom:
    """The pictures of a source that have a DICOM file; see `Source`.

    A picture without one is left out before anything of it is read or drawn.
    """

    def __init__(self, source: Source, files: DicomFiles) -> None:
        self._source, self._files = source, files
        self.is_whole = source.is_whole

    @property
    def legend(self) -> Legend:
        """See `Source`."""
        return self._source.legend

    @property
    def about(self) -> dict[str, Any]:
        """Also that masks have the pixels of the files: a NIfTI file without one has those of the image."""
        return {**self._source.about, "pixels": "of the DICOM files"}

    def total(self) -> int:
        """See `Source`."""
        return self._source.total()

    def items(self) -> Iterator[Item | LeftOut]:
        """See `Source`; the files are found first."""
        self._files.find()
        for each in self._source.items():
            yield replace(each, read=partial(self._read, each)) if isinstance(each, Item) else each

    def _read(self, item: Item) -> Picture:
        self._files.of(item.data)
        return item.read()


@dataclass(frozen=True)
class SegmentationFormat:
    """A DICOM Segmentation for each picture, with a binary segment for each label.

    Overlapping regions keep all of their pixels. A segment has the number of its label in the legend, also
    in pictures that lack other labels.

    Attributes:
        sources: the DICOM files.
        version: name of the version that drew the masks; None if people did.
    """

    sources: DicomFiles
    version: str | None = None

    def files(self, name: str) -> list[str]:
        """See `Format`."""
        return [f"masks/{name}.dcm"]

    def write(self, folder: Path, name: str, picture: Picture, legend: Legend) -> Any:
        """See `Format`; also raises FileMissingError."""
        source = self.sources.of(picture.data)
        _refuse_unknown(picture, "DICOM-SEG")
        masks = {label: np.zeros(picture.label_map.shape, np.bool_) for label in legend.labels}
        for index, shape in picture.regions:
            height, width = shape.mask.shape
            part = slice(shape.top, shape.top + height), slice(shape.left, shape.left + width)
            masks[legend.labels[index - 1]][part] |= shape.mask
        (file,) = self.files(name)
        _write_at_once(
            folder / file,
            lambda draft: write_segmentation(
                masks, source, draft, version=self.version, max_pixels=self.sources.max_pixels
            ),
        )

    def finish(self, folder: Path, records: Records, legend: Legend) -> list[str]:  # noqa: ARG002
        """See `Format`."""
        return _write_legend(folder, legend)


@dataclass(frozen=True)
class NiftiFormat:
    """A NIfTI label map for each picture: values are class indices.

    A pixel of several labels cannot be said, so pictures with overlapping labels are left out.

    Attributes:
        sources: the DICOM files; masks then have their pixels and spacing. Without them masks have the pixels
            of the image, and the spacing that the task's data has.
    """

    sources: DicomFiles | None = None

    def files(self, name: str) -> list[str]:
        """See `Format`."""
        return [f"masks/{name}.nii.gz"]

    def write(self, folder: Path, name: str, picture: Picture, legend: Legend) -> Any:
        """See `Format`; also raises FileMissingError."""
        source = None if self.sources is None else self.sources.of(picture.data)
        _refuse_unknown(picture, "NIfTI")
        if hidden := hidden_pixels(picture):
            raise CannotExpressError(
                f"{hidden} of its pixels have several labels, which NIfTI cannot hold: --format dicom-seg "
                "and coco keep them all, png keeps the one that training takes."
            )
        masks: dict[str, NDArray[np.bool_]] = {
            label: picture.label_map == index for index, label in enumerate(legend.labels, start=1)
        }
        limit = MAX_PIXELS if self.sources is None else self.sources.max_pixels
        (file,) = self.files(name)
        _write_at_once(
            folder / file,
            lambda draft: write_nifti(
                masks, draft, spacing=spacing_of(picture.data), source=source, max_pixels=limit
            ),
        )

    def finish(self, folder: Path, records: Records, legend: Legend) -> list[str]:  # noqa: ARG002
        """See `Format`."""
        return _write_legend(folder, legend)


def clinical_format(name: str, files: DicomFiles | None, version: str | None) -> Format:
    """The format `dicom-seg`, which needs files, or `nifti`; `version` drew the masks, unless people did."""
    if name == "nifti":
        return NiftiFormat(files)
    assert name == "dicom-seg"
    assert files is not None
    return SegmentationFormat(files, version)


def _refuse_unknown(picture: Picture, form: str) -> None:
    if (picture.label_map == UNKNOWN).any():
        raise CannotExpressError(f"Of some of its pixels the label is not known, which {form} cannot say.")


def _write_at_once(path: Path, write: Callable[[Path], object]) -> None:
    """Write a file at once or not at all."""
    path.parent.mkdir(exist_ok=True)
    draft = path.with_name(f".{path.name}")
    try:
        write(draft)
    except DicomError as error:
        raise CannotExpressError(str(error)) from error
    draft.replace(path)


def _write_legend(folder: Path, legend: Legend) -> list[str]:
    (folder / "masks").mkdir(exist_ok=True)
    entries = [entry for entry in legend.entries() if entry["index"] != UNKNOWN]
    replace_text(folder / "legend.json", json.dumps(entries, indent=2, ensure_ascii=False))
    return ["masks/", "legend.json"]
