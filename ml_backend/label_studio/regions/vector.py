"""Vector regions: vertices in percent of the image, chained by `prevPointId`, with Bézier handles.

A curved vertex has two handles: `controlPoint1` towards the previous vertex, `controlPoint2` towards the
next. If only one end of an edge is curved, the editor puts the missing handle on the straight line, at three
tenths of its length from the straight end.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.regions import polygon
from ml_backend.label_studio.regions.filling import fill
from ml_backend.label_studio.regions.shape import EmptyRegionError, RegionError, Shape, Size, number

SEGMENT_PIXELS = 2.0
"""Approximate length in pixels of the straight segments that approximate a curve."""
MAX_SEGMENTS = 100
HANDLE_FRACTION = 0.3

Point = NDArray[np.float64]
"""(x, y) in pixels."""


def read(value: Mapping[str, Any], size: Size) -> Shape:
    """The pixels inside the closed path, by the non-zero winding rule if it crosses itself.

    Raises:
        EmptyRegionError: it has fewer than three vertices.
        RegionError: the path is open or branches, has too many vertices, or vertices with invalid
            coordinates.
    """
    vertices = value.get("vertices")
    if value.get("closed") is not True:
        raise RegionError("The vector is not closed.")
    if not isinstance(vertices, list) or len(vertices) > polygon.MAX_POINTS:
        raise RegionError(f"A closed vector must have 3 to {polygon.MAX_POINTS} vertices.")
    if len(vertices) < 3:
        raise EmptyRegionError(f"A closed vector must have 3 to {polygon.MAX_POINTS} vertices.")
    if not all(isinstance(vertex, dict) for vertex in vertices):
        raise RegionError("A vertex of the vector must be an object.")
    path = _in_order(vertices)
    segments = [_edge(vertex, after, size) for vertex, after in zip(path, [*path[1:], path[0]], strict=True)]
    return fill(np.concatenate(segments), size)


def write(mask: NDArray[np.bool_], tolerance: float, most: int | None = None) -> list[dict[str, Any]]:
    """One closed vector per component of a mask (H, W), with straight edges, simplified as polygons are."""
    return [_closed(value["points"]) for value in polygon.write(mask, tolerance, most)]


def _closed(points: list[list[float]]) -> dict[str, Any]:
    names = [secrets.token_hex(5) for _ in points]
    vertices = [
        {"id": name, "prevPointId": before, "x": x, "y": y, "isBezier": False}
        for name, before, (x, y) in zip(names, [names[-1], *names[:-1]], points, strict=True)
    ]
    return {"vertices": vertices, "closed": True}


def _in_order(vertices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The vertices in path order; a vertex without `prevPointId` follows the previous one in the list."""
    after: dict[int, int] = {}
    places = {str(vertex["id"]): place for place, vertex in enumerate(vertices) if vertex.get("id")}
    for place, vertex in enumerate(vertices):
        before = places.get(str(vertex.get("prevPointId")), place - 1 if place else None)
        if before is None:
            continue
        if after.setdefault(before, place) != place:
            raise RegionError("The vector branches, so it encloses no area.")
    path = [0]
    while (place := after.get(path[-1], 0)) != 0 and len(path) < len(vertices):
        path.append(place)
    if len(path) < len(vertices):
        raise RegionError("The vector's vertices form more than one path.")
    return [vertices[place] for place in path]


def _edge(vertex: dict[str, Any], after: dict[str, Any], size: Size) -> NDArray[np.float64]:
    """The points (N, 2) of the edge from one vertex to the next, end excluded."""
    start, end = _place(vertex, size), _place(after, size)
    leaving = _handle(vertex, "controlPoint2", size)
    arriving = _handle(after, "controlPoint1", size)
    if leaving is None and arriving is None:
        return start[None]
    offset = HANDLE_FRACTION * (end - start)
    one = start + offset if leaving is None else leaving
    two = end - offset if arriving is None else arriving
    length = sum(float(np.linalg.norm(part)) for part in (one - start, two - one, end - two))
    segments = int(np.clip(np.ceil(length / SEGMENT_PIXELS), 4, MAX_SEGMENTS))
    t = np.arange(segments)[:, None] / segments
    curve: NDArray[np.float64] = (
        (1 - t) ** 3 * start + 3 * (1 - t) ** 2 * t * one + 3 * (1 - t) * t**2 * two + t**3 * end
    )
    return curve


def _handle(vertex: dict[str, Any], key: str, size: Size) -> Point | None:
    handle = vertex.get(key)
    if vertex.get("isBezier") is not True or handle is None:
        return None
    if not isinstance(handle, dict):
        raise RegionError("A handle of the vector must be an object.")
    return _place(handle, size)


def _place(point: Mapping[str, Any], size: Size) -> Point:
    place: Point = polygon.in_pixels([(number(point, "x"), number(point, "y"))], size)[0]
    return place
