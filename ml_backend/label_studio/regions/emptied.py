"""Regions without a pixel: the only way in which an answer to a prompt can take a region off a page.

An answer replaces the regions whose ids it has and removes none (docs/label-studio-behaviour.md). So a region
of which nothing is to be left is replaced by an empty one, and a note in it tells it from a broken one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from ml_backend.label_studio.regions import rle
from ml_backend.label_studio.regions.bitmask import as_png
from ml_backend.label_studio.regions.forms import BITMASK, BRUSH, ELLIPSE, POLYGON, RECTANGLE, VECTOR, Form
from ml_backend.label_studio.regions.shape import Size

EMPTIED = "Removed by a click: this region covers no pixel and can be deleted."
"""The note, which the editor shows in its panel *Info*."""


def _brush(size: Size) -> dict[str, Any]:
    nothing = rle.Runs(np.zeros(1, np.uint8), np.array([size[0] * size[1]]))
    return {"format": "rle", "rle": rle.encode_runs(nothing)}


def _vector(_size: Size) -> dict[str, Any]:
    names = ("a", "b", "c")
    vertices = [
        {"id": name, "prevPointId": before, "x": 0, "y": 0, "isBezier": False}
        for name, before in zip(names, ("c", "a", "b"), strict=True)
    ]
    return {"vertices": vertices, "closed": True}


_VALUES: Mapping[str, Callable[[Size], dict[str, Any]]] = MappingProxyType(
    {
        BRUSH.name: _brush,
        BITMASK.name: lambda size: as_png(np.zeros(size, np.bool_)),
        POLYGON.name: lambda _size: {"points": [[0, 0]] * 3, "closed": True},
        VECTOR.name: _vector,
        ELLIPSE.name: lambda _size: {"x": 0, "y": 0, "radiusX": 0, "radiusY": 0, "rotation": 0},
        RECTANGLE.name: lambda _size: {"x": 0, "y": 0, "width": 0, "height": 0, "rotation": 0},
    }
)


def empty_value(form: Form, size: Size) -> dict[str, Any]:
    """The value of a region without a pixel on an image of (H, W)."""
    return _VALUES[form.name](size)


def is_emptied(region: Mapping[str, Any]) -> bool:
    """Whether a region carries the note; any content is possible."""
    meta = region.get("meta")
    text = meta.get("text") if isinstance(meta, dict) else None
    return text == EMPTIED or (isinstance(text, list) and EMPTIED in text)
