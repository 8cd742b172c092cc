"""From outlines to pixels, by the fill rule of the browser's canvas.

A pixel is inside if its centre is, by the non-zero winding rule, as the editor fills polygons and vectors.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.regions.shape import RegionError, Shape, Size

MAX_CROSSINGS = 50_000_000
"""Maximum rows that all edges of one outline cross, seconds of work; a bone's outline crosses thousands."""
_BATCH = 1_000_000


def fill(points: NDArray[np.float64], size: Size) -> Shape:
    """The pixels inside a closed outline; parts of it may be outside the image.

    Args:
        points: (N, 2) corners (x, y) in pixels, 0 at the image's left and top edge.
        size: (H, W) of the image.

    Raises:
        RegionError: the outline crosses too many rows to fill in reasonable time.
    """
    height, width = size
    x, y = points.T
    next_y = np.roll(y, -1)
    first, last = (
        np.clip(np.ceil(edge - 0.5), 0, height).astype(np.int64)
        for edge in (np.minimum(y, next_y), np.maximum(y, next_y))
    )
    total = int((last - first).sum())
    if total > MAX_CROSSINGS:
        raise RegionError(f"The outline crosses {total} rows of pixels: draw a simpler one.")
    left, right = np.clip(np.ceil([x.min() - 0.5, x.max() - 0.5]), 0, width).astype(int)
    if not total or left == right:
        return Shape(0, 0, np.zeros((0, 0), np.bool_))
    top, bottom = int(first[last > first].min()), int(last[last > first].max())
    winding = np.zeros((bottom - top, right - left + 1), np.int16)
    for row, crossing, direction in _crossings(points, first, last):
        column = np.clip(np.ceil(crossing - 0.5), left, right).astype(np.int64)
        np.add.at(winding, (row - top, column - left), direction)
    return Shape(top, int(left), np.cumsum(winding, axis=1, dtype=np.int16)[:, :-1] != 0)


def _crossings(
    points: NDArray[np.float64], first: NDArray[np.int64], last: NDArray[np.int64]
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.int16]]]:
    """Where edges cross the centres of rows: row, x, and 1 downwards or -1 upwards; in batches of edges."""
    run = np.roll(points, -1, axis=0) - points
    parts = np.cumsum(last - first) // _BATCH
    for edges in np.split(np.arange(len(points)), np.flatnonzero(np.diff(parts)) + 1):
        crossed = (last - first)[edges]
        edge = np.repeat(edges, crossed)
        before = np.repeat(np.cumsum(crossed) - crossed, crossed)
        row = first[edge] + np.arange(len(edge)) - before
        along = (row + 0.5 - points[edge, 1]) / run[edge, 1]
        yield row, points[edge, 0] + along * run[edge, 0], np.sign(run[edge, 1]).astype(np.int16)
