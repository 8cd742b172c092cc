"""Brush regions: the alphas of the whole image in Label Studio's run-length encoding."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ml_backend.label_studio.regions import rle
from ml_backend.label_studio.regions.components import Parts
from ml_backend.label_studio.regions.shape import EmptyRegionError, RegionError, Shape, Size, opaque

STROKES = ("touches", "maskDataURL")
"""Keys under which drafts and tools store a brush region without its mask."""


def read(value: Mapping[str, Any], size: Size) -> Shape:
    """The pixels whose alpha reaches half of the region's maximum, cropped to the rows that the mask spans.

    Raises:
        EmptyRegionError: there is neither a mask nor a stroke.
        RegionError: there is no mask, but there are strokes, as in a draft; or it has another format.
        RleError: the mask is not of this size, or its stream is broken.
    """
    if value.get("format", "rle") != "rle":
        raise RegionError("The brush region has no mask in the format rle.")
    if not value.get("rle"):
        if any(value.get(key) for key in STROKES):
            raise RegionError("The brush region has strokes instead of a mask.")
        raise EmptyRegionError("The brush region has no mask.")
    height, width = size
    runs = rle.decode_runs(value["rle"], height, width)
    drawn = opaque(runs.alphas)
    inside = np.flatnonzero(drawn)
    if not inside.size:
        return Shape(0, 0, np.zeros((0, 0), np.bool_))
    span = slice(int(inside[0]), int(inside[-1]) + 1)
    start = int(runs.lengths[: span.start].sum())
    stop = start + int(runs.lengths[span].sum())
    top, bottom = start // width, -(-stop // width)
    mask = np.zeros((bottom - top) * width, np.bool_)
    mask[start - top * width : stop - top * width] = np.repeat(drawn[span], runs.lengths[span])
    return Shape(top, 0, mask.reshape(-1, width))


def write(parts: Parts) -> list[dict[str, Any]]:
    """One region of alphas 0 and 255 for each part of a mask, exactly, in their order."""
    runs = rle.runs_of(parts.numbers)
    return [
        {"format": "rle", "rle": rle.encode_runs(rle.Runs(alphas, runs.lengths))}
        for alphas in (
            np.where(runs.alphas == n, np.uint8(255), np.uint8(0)) for n in range(1, parts.highest + 1)
        )
    ]
