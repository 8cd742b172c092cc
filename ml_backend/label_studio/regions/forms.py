"""The forms of regions that store masks; a new one is a module with `read` and `write`, and an entry here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.regions import bitmask, brush, ellipse, polygon, rectangle, vector
from ml_backend.label_studio.regions.components import Parts, numbered
from ml_backend.label_studio.regions.shape import Shape, Size


@dataclass(frozen=True)
class DrawnLabel:
    """One label of a label map, to write as regions.

    Attributes:
        labels: (H, W) uint8 class indices.
        index: class index of the label, from 1.
        points: most points of its outlines, all together; None for any number.
    """

    labels: NDArray[np.uint8]
    index: int
    points: int | None = None

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The label's mask, (H, W)."""
        mask: NDArray[np.bool_] = self.labels == self.index
        return mask

    @cached_property
    def parts(self) -> Parts:
        """The components of its mask, each of which is a region of its own."""
        return numbered(self.mask)


@dataclass(frozen=True)
class Form:
    """One form of regions.

    Attributes:
        name: as in its tags, e.g. "polygon" for `<Polygon>` and `<PolygonLabels>`.
        read: (region's `value`, image's (H, W)) to its pixels; raises `RegionError` or `RleError`.
        write: (label, tolerance in pixels) to the `value` of each of its regions.
        is_outline: whether regions are simplified within the tolerance and must keep the label's Dice.
        is_pixelwise: whether regions store pixels, so that they fit images of one size only, and are the
            parts of the label in their order; the others store percent of the image.
        required: attribute and value without which a tag of this form does not draw areas.
    """

    name: str
    read: Callable[[Mapping[str, Any], Size], Shape]
    write: Callable[[DrawnLabel, float], list[dict[str, Any]]]
    is_outline: bool = False
    is_pixelwise: bool = False
    required: tuple[str, str] | None = None

    @property
    def rank(self) -> int:
        """Position in `FORMS`; lower is more exact."""
        return FORMS.index(self)


BRUSH = Form("brush", brush.read, lambda label, _: brush.write(label.parts), is_pixelwise=True)
BITMASK = Form("bitmask", bitmask.read, lambda label, _: bitmask.write(label.parts), is_pixelwise=True)
POLYGON = Form(
    "polygon",
    polygon.read,
    lambda label, tolerance: polygon.write(label.mask, tolerance, label.points),
    is_outline=True,
)
VECTOR = Form(
    "vector",
    vector.read,
    lambda label, tolerance: vector.write(label.mask, tolerance, label.points),
    is_outline=True,
    required=("closable", "true"),
)
ELLIPSE = Form("ellipse", ellipse.read, lambda label, _: ellipse.write(label.mask))
RECTANGLE = Form("rectangle", rectangle.read, lambda label, _: rectangle.write(label.mask))

FORMS = (BRUSH, BITMASK, POLYGON, VECTOR, ELLIPSE, RECTANGLE)
"""All forms, from exact to approximate; a label that several tags can draw is written in the first."""
