"""Vector regions: vertices in percent of the image, chained by `prevPointId`, with Bézier handles.

A handle is kept on both sides of a curved vertex: `controlPoint1` towards the one before, `controlPoint2`
towards the one after. Where only one end of an edge is curved the editor puts the missing handle on the
straight line, three tenths from the straight end.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.regions import polygon
from ml_backend.label_studio.regions.filling import fill
from ml_backend.label_studio.regions.shape import RegionError, Shape, Size, number

PIECE = 2.0
"""Pixels of a curve that are drawn as one straight piece, about."""
MOST_PIECES = 100
LEAN = 0.3

Point = NDArray[np.float64]
"""(x, y) in pixels."""


def read(value: Mapping[str, Any], size: Size) -> Shape:
    """The pixels inside the closed path, which may cross itself: what it winds around is inside.

    Raises:
        RegionError: the path is open or branches, has less than three vertices or too many, or vertices that
            are no places on an image.
    """
    vertices = value.get("vertices")
    if value.get("closed") is not True:
        raise RegionError("The vector is not closed.")
    if not isinstance(vertices, list) or not 3 <= len(vertices) <= polygon.MOST_POINTS:
        raise RegionError(f"A closed vector must have 3 to {polygon.MOST_POINTS} vertices.")
    if not all(isinstance(vertex, dict) for vertex in vertices):
        raise RegionError("A vertex of the vector is no object.")
    path = _in_order(vertices)
    pieces = [_edge(vertex, after, size) for vertex, after in zip(path, [*path[1:], path[0]], strict=True)]
    return fill(np.concatenate(pieces), size)


def write(mask: NDArray[np.bool_], tolerance: float) -> list[dict[str, Any]]:
    """One closed vector for each component of a mask (H, W), straight edges, simplified as polygons are."""
    return [_closed(value["points"]) for value in polygon.write(mask, tolerance)]


def _closed(points: list[list[float]]) -> dict[str, Any]:
    names = [secrets.token_hex(5) for _ in points]
    vertices = [
        {"id": name, "prevPointId": before, "x": x, "y": y, "isBezier": False}
        for name, before, (x, y) in zip(names, [names[-1], *names[:-1]], points, strict=True)
    ]
    return {"vertices": vertices, "closed": True}


def _in_order(vertices: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The vertices along the path; one that names none before it follows the one before it in the list."""
    after: dict[int, int] = {}
    places = {str(vertex["id"]): place for place, vertex in enumerate(vertices) if vertex.get("id")}
    for place, vertex in enumerate(vertices):
        before = places.get(str(vertex.get("prevPointId")), place - 1 if place else None)
        if before is None:
            continue
        if after.setdefault(before, place) != place:
            raise RegionError("The vector branches, so it has no inside.")
    path = [0]
    while (place := after.get(path[-1], 0)) != 0 and len(path) < len(vertices):
        path.append(place)
    if len(path) < len(vertices):
        raise RegionError("The vector's vertices make more than one path.")
    return [vertices[place] for place in path]


def _edge(vertex: dict[str, Any], after: dict[str, Any], size: Size) -> NDArray[np.float64]:
    """The points (N, 2) of the edge from one vertex to the next, without its end."""
    start, end = _place(vertex, size), _place(after, size)
    leaving = _handle(vertex, "controlPoint2", size)
    arriving = _handle(after, "controlPoint1", size)
    if leaving is None and arriving is None:
        return start[None]
    lean = LEAN * (end - start)
    one = start + lean if leaving is None else leaving
    two = end - lean if arriving is None else arriving
    length = sum(float(np.linalg.norm(part)) for part in (one - start, two - one, end - two))
    pieces = int(np.clip(np.ceil(length / PIECE), 4, MOST_PIECES))
    t = np.arange(pieces)[:, None] / pieces
    curve: NDArray[np.float64] = (
        (1 - t) ** 3 * start + 3 * (1 - t) ** 2 * t * one + 3 * (1 - t) * t**2 * two + t**3 * end
    )
    return curve


def _handle(vertex: dict[str, Any], key: str, size: Size) -> Point | None:
    handle = vertex.get(key)
    if vertex.get("isBezier") is not True or handle is None:
        return None
    if not isinstance(handle, dict):
        raise RegionError("A handle of the vector is no object.")
    return _place(handle, size)


def _place(point: Mapping[str, Any], size: Size) -> Point:
    place: Point = polygon.in_pixels([(number(point, "x"), number(point, "y"))], size)[0]
    return place
