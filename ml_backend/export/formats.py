"""The formats in which pictures are exported; a new one is a class here and a line in `FORMATS`.

A format writes the files of one picture, and at the end those about all of them. What it needs of a picture
at the end it returns as JSON, which is kept on disk: there may be tens of thousands of pictures.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Protocol, TextIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ml_backend.export.pictures import CannotExpressError, Legend, Picture, Region
from ml_backend.label_studio.regions.reading import UNKNOWN
from model.training.dataset import NAMES_FILE

Record = dict[str, Any]
"""What is kept of a picture: `name`, `image` (the file name of its image), `width`, `height`, `files`, and
what the format returned, as `content`."""
Records = Callable[[], Iterator[Record]]


class Format(Protocol):
    """Writes pictures into a folder. Paths are relative to it."""

    def files(self, name: str) -> list[str]:
        """The files of a picture of this name."""

    def write(self, folder: Path, name: str, picture: Picture, legend: Legend) -> Any:
        """Write the files of one picture, each at once or not at all; returns JSON to keep.

        Raises:
            CannotExpressError: the format cannot hold this picture.
        """

    def finish(self, folder: Path, records: Records, legend: Legend) -> list[str]:
        """Write the files about all pictures; returns those that a person should know."""


class PngFormat:
    """One indexed PNG a picture: pixels are class indices, shown in the colours of the legend.

    Where regions overlap, a pixel has the label that it has in training.
    """

    def files(self, name: str) -> list[str]:
        """See `Format`."""
        return [f"masks/{name}.png"]

    def write(self, folder: Path, name: str, picture: Picture, legend: Legend) -> Any:
        """See `Format`."""
        (path,) = (folder / file for file in self.files(name))
        path.parent.mkdir(exist_ok=True)
        save_indexed(path, picture.label_map, legend)

    def finish(self, folder: Path, records: Records, legend: Legend) -> list[str]:  # noqa: ARG002
        """The legend; and the labels as `dsal train --masks` reads them."""
        (folder / "masks").mkdir(exist_ok=True)
        replace_text(folder / "legend.json", json.dumps(legend.entries(), indent=2, ensure_ascii=False))
        replace_text(folder / "masks" / NAMES_FILE, "".join(f"{line}\n" for line in _lines(legend.labels)))
        return ["masks/", "legend.json"]


class CocoFormat:
    """One COCO file: each region of an image is an annotation with an uncompressed RLE, to the pixel.

    Overlapping regions keep all of their pixels. `area` is the number of pixels, `bbox` [left, top, width,
    height] of the pixels.
    """

    FILE = "annotations.json"

    def files(self, name: str) -> list[str]:  # noqa: ARG002
        """None: all pictures are in one file."""
        return []

    def write(self, folder: Path, name: str, picture: Picture, legend: Legend) -> Any:  # noqa: ARG002
        """The annotations of one picture, without their ids."""
        if (picture.label_map == UNKNOWN).any():
            raise CannotExpressError("Of some of its pixels the label is not known, which COCO cannot say.")
        height, width = picture.label_map.shape
        return [
            annotation
            for region in picture.regions
            if (annotation := coco_annotation(region, height, width)) is not None
        ]

    def finish(self, folder: Path, records: Records, legend: Legend) -> list[str]:
        """Write the file, an image and an annotation at a time."""
        draft = folder / f".{self.FILE}"
        with draft.open("w", encoding="utf-8") as file:
            now = datetime.now(UTC).isoformat(timespec="seconds")
            about = {"description": "exported by dsal", "date_created": now}
            categories = [
                {"id": index, "name": label, "supercategory": ""}
                for index, label in enumerate(legend.labels, start=1)
            ]
            file.write(f'{{"info": {json.dumps(about)},\n"licenses": [],\n')
            file.write(f'"categories": {json.dumps(categories, ensure_ascii=False)},\n"images": ')
            _write_list(file, _images(records()))
            file.write(',\n"annotations": ')
            _write_list(file, _annotations(records()))
            file.write("}\n")
        draft.replace(folder / self.FILE)
        return [self.FILE]


FORMATS: Mapping[str, Format] = MappingProxyType({"png": PngFormat(), "coco": CocoFormat()})


def _lines(labels: Sequence[str]) -> Iterator[str]:
    """Each label as a line of its own, as `dsal train` reads them: in one line, and no two alike."""
    taken: set[str] = set()
    for index, label in enumerate(labels, start=1):
        line = " ".join(label.split()) or f"label {index}"
        while line in taken or (line != label and line in labels):
            line = f"{line} ({index})"
        taken.add(line)
        yield line


def save_indexed(path: Path, label_map: NDArray[np.uint8], legend: Legend) -> None:
    """Write a label map (H, W) as an indexed PNG with the legend's colours; at once or not at all."""
    height, width = label_map.shape
    image = Image.frombytes("P", (width, height), np.ascontiguousarray(label_map).tobytes())
    colours = [channel for colour in legend.colours() for channel in colour]
    image.putpalette([*colours, *[0] * (3 * UNKNOWN - len(colours)), 128, 128, 128])
    draft = path.with_name(f".{path.name}")
    image.save(draft, "PNG", optimize=False)
    draft.replace(path)


def replace_text(path: Path, text: str) -> None:
    """Write a text file; at once or not at all."""
    draft = path.with_name(f".{path.name}")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)


def coco_annotation(region: Region, height: int, width: int) -> dict[str, Any] | None:
    """A region of an image of height × width pixels as COCO has it, without ids; None if it has no pixel.

    COCO counts runs down the columns, beginning with background.
    """
    index, shape = region
    rows, columns = np.flatnonzero(shape.mask.any(axis=1)), np.flatnonzero(shape.mask.any(axis=0))
    if not rows.size:
        return None
    # Only the columns that the region touches are counted pixel by pixel.
    left, right = int(columns[0]), int(columns[-1]) + 1
    part = np.zeros((height, right - left), np.bool_)
    part[shape.top : shape.top + len(shape.mask)] = shape.mask[:, left:right]
    pixels = part.ravel(order="F")
    changes = np.flatnonzero(pixels[1:] != pixels[:-1]) + 1
    runs = np.diff(np.concatenate(([0], changes, [len(pixels)]))).tolist()
    before, after = (shape.left + left) * height, (width - shape.left - right) * height
    counts = [before + runs[0], *runs[1:]] if not pixels[0] else [before, *runs]
    if pixels[-1]:
        counts += [after] if after else []
    else:
        counts[-1] += after
    return {
        "category_id": index,
        "segmentation": {"size": [height, width], "counts": counts},
        "area": int(shape.mask.sum()),
        "bbox": [
            shape.left + left,
            shape.top + int(rows[0]),
            right - left,
            int(rows[-1] - rows[0]) + 1,
        ],
        "iscrowd": 0,
    }


def _images(records: Iterator[Record]) -> Iterator[dict[str, Any]]:
    for number, record in enumerate(records, start=1):
        task = {} if record["task"] is None else {"task": record["task"]}
        size = {"width": record["width"], "height": record["height"]}
        yield {"id": number, "file_name": record["image"], **size, **task}


def _annotations(records: Iterator[Record]) -> Iterator[dict[str, Any]]:
    number = 0
    for image, record in enumerate(records, start=1):
        for annotation in record["content"]:
            number += 1
            yield {"id": number, "image_id": image, **annotation}


def _write_list(file: TextIO, items: Iterator[Any]) -> None:
    file.write("[")
    for number, item in enumerate(items):
        file.write(",\n" if number else "\n")
        file.write(json.dumps(item, ensure_ascii=False))
    file.write("\n]")
