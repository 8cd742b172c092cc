"""What is exported of one image, and the legend of its labels."""

from __future__ import annotations

import colorsys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.config import COLOURS
from ml_backend.label_studio.regions.canvas import Canvas
from ml_backend.label_studio.regions.reading import UNKNOWN
from ml_backend.label_studio.regions.shape import Shape, Size

Region = tuple[int, Shape]
"""Class index of a label, and pixels that have it; regions may overlap."""
GOLDEN_ANGLE = 0.381966
"""Share of a circle by which hues advance, so that any number of them keep apart."""


class ExportError(ValueError):
    """Nothing can be exported as asked; the message is one sentence that says what to do."""


class CannotExpressError(ValueError):
    """A picture that the format cannot hold; the message is one sentence that says why."""


class FileMissingError(ValueError):
    """A picture whose file is not at hand, so that another run may export it; the message is one sentence."""


@dataclass(frozen=True, eq=False)
class Picture:
    """The labels or the mask of one image.

    Attributes:
        task: Label Studio's id; None for an image that is in no task.
        data: the task's data.
        label_map: (H, W) class indices, 0 for background, 255 where it is not known what a pixel is.
        regions: what the label map was drawn from, in its order; overlapping pixels are in all of them.
        source: what it is from, such as "annotation 12" or the name of a version.
        notes: sentences about it.
    """

    task: int | None
    data: Mapping[str, Any]
    label_map: NDArray[np.uint8]
    regions: Sequence[Region]
    source: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Legend:
    """The labels, in the order of their class indices, which begin at 1."""

    labels: tuple[str, ...]

    def colours(self) -> list[tuple[int, int, int]]:
        """Red, green and blue of each class index, background (black) first; bright, and no two alike."""
        known = [_rgb(text) for text in COLOURS]
        further = (
            _bright(number * GOLDEN_ANGLE % 1, 1 - 0.35 * (number % 3 / 2))
            for number in range(max(0, len(self.labels) - len(known)))
        )
        return [(0, 0, 0), *known[: len(self.labels)], *further]

    def entries(self) -> list[dict[str, Any]]:
        """What legend.json lists."""
        names = ("background", *self.labels)
        found = [
            {"index": index, "label": name, "colour": "#{:02x}{:02x}{:02x}".format(*colour)}
            for index, (name, colour) in enumerate(zip(names, self.colours(), strict=True))
        ]
        return [*found, {"index": UNKNOWN, "label": "unknown", "colour": "#808080"}]


class Layers(Canvas):
    """A canvas that also keeps each region that is drawn on it."""

    def __init__(self, size: Size | None = None, **options: Any) -> None:
        super().__init__(size, **options)
        self.regions: list[Region] = []

    def draw(self, shape: Shape, index: int, size: Size) -> None:
        """See `Canvas.draw`."""
        super().draw(shape, index, size)
        self.regions.append((index, shape))


def components(label_map: NDArray[np.uint8]) -> Iterator[Region]:
    """The connected parts of each label of a label map (H, W), by edges and corners."""
    for index in np.unique(label_map).tolist():
        if index in (0, UNKNOWN):
            continue
        _, parts, stats, _ = cv2.connectedComponentsWithStats(
            (label_map == index).view(np.uint8), connectivity=8
        )
        for part, (left, top, width, height, _) in enumerate(stats[1:].tolist(), start=1):
            yield index, Shape(top, left, parts[top : top + height, left : left + width] == part)


def hidden_pixels(picture: Picture) -> int:
    """Pixels of regions that another label has in the label map."""
    hidden = np.zeros(picture.label_map.shape, np.bool_)
    for index, shape in picture.regions:
        height, width = shape.mask.shape
        part = slice(shape.top, shape.top + height), slice(shape.left, shape.left + width)
        hidden[part] |= shape.mask & (picture.label_map[part] != index)
    return int(hidden.sum())


def _rgb(text: str) -> tuple[int, int, int]:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def _bright(hue: float, value: float) -> tuple[int, int, int]:
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.75, value))
    return red, green, blue
