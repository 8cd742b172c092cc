"""From pixels to outlines: components along pixel edges, holes joined by cuts, optionally simplified."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.regions.components import MAX_COMPONENTS
from ml_backend.label_studio.regions.filling import fill
from model.consistency import dice

LEFT_OUT = 0.003
"""Share of a label's pixels up to which its smallest components, together, are left out."""
FILLED = 0.002
"""Share of a component's pixels up to which its smallest holes, together, are filled."""
MIN_DSC = 0.993
"""Minimum Dice of a component's simplified outline with its pixels. With LEFT_OUT and FILLED this gives 0.99
for the whole label."""
MIN_TOLERANCE = 0.25
"""Tolerance in pixels below which an outline is not simplified at all."""
MAX_CHAINS = 2_000
"""Maximum outlines of components and holes considered: the longest, in a noisy mask."""
TOLERANCE_FACTOR = 0.75
"""Factor by which a tolerance is reduced while the Dice is too low."""
COARSENING = 1.5
"""Factor by which a tolerance is increased while there are too many points."""
FEWEST_POINTS = 4
"""Points that every outline may have, however few are allowed."""
MAX_CORNERS = 10_000
"""Maximum corners of an exact outline for which the Dice is ensured."""
MIN_BOXED_PIXELS = 9
"""Minimum pixels of a component that gets a box or an ellipse."""
MIN_BOXED_SHARE = 0.01
"""Minimum pixels of such a component, as a share of the label's largest component."""

Ring = NDArray[np.int32]
"""(N, 2) corners (x, y) of pixels, without repeating the first at the end."""
Points = NDArray[np.float64]
"""(N, 2) points (x, y) in pixels of a closed outline, without repeating the first at the end."""


@dataclass(frozen=True)
class Component:
    """A component: pixels connected by edges or corners.

    Attributes:
        outer: its outline.
        holes: outlines of its holes, largest first, in the opposite direction.
        area: number of pixels.
    """

    outer: Ring
    holes: tuple[Ring, ...]
    area: int


def components(mask: NDArray[np.bool_]) -> list[Component]:
    """The components of an (H, W) mask, largest first, with exact outlines."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not rows.size:
        return []
    part = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    # With every pixel doubled, each contour point is a quarter of a pixel, next to one pixel corner.
    doubled = part.view(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    chains, hierarchy = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    chains, hierarchy = _longest([chain[:, 0].astype(np.int32) for chain in chains], hierarchy[0])
    origin = np.array([columns[0], rows[0]], np.int32)
    rings = [_corners((chain + 1) // 2) + origin for chain in chains]
    holes: dict[int, list[Ring]] = {}
    for ring, (*_, parent) in zip(rings, hierarchy, strict=True):
        if parent >= 0:
            holes.setdefault(int(parent), []).append(ring)
    found = []
    for index, ring in enumerate(rings):
        if hierarchy[index][3] < 0:
            inside = sorted(holes.get(index, []), key=lambda hole: -_area(hole))
            area = _area(ring) - sum(map(_area, inside))
            found.append(Component(ring, tuple(inside), area))
    return sorted(found, key=lambda component: -component.area)


def worth_drawing(found: list[Component]) -> list[Component]:
    """All but the smallest components that together have at most LEFT_OUT of the pixels; at most 200."""
    kept = len(found) - _droppable([component.area for component in found], LEFT_OUT)
    return found[: min(kept, MAX_COMPONENTS)]


def worth_boxing(mask: NDArray[np.bool_]) -> list[Component]:
    """The components of an (H, W) mask that get a box or an ellipse, largest first; always the largest."""
    found = worth_drawing(components(mask))
    least = max(MIN_BOXED_PIXELS, MIN_BOXED_SHARE * found[0].area) if found else 0
    return found[:1] + [component for component in found[1:] if component.area >= least]


def simplified(component: Component, tolerance: float) -> Points:
    """One outline in pixels that includes the holes, as coarse as `tolerance` and MIN_DSC allow.

    A hole is joined to the outline by a cut of zero width, traversed in both directions, so that both the
    non-zero and the even-odd fill rule leave the hole empty. `tolerance` is the maximum distance in pixels
    between the outline and the pixel edges; it is reduced until the filled outline has a Dice of MIN_DSC with
    the component, except for outlines of more than MAX_CORNERS corners, such as those of noise.
    """
    kept = len(component.holes) - _droppable(
        [_area(hole) for hole in component.holes], FILLED, component.area
    )
    rings = (component.outer, *component.holes[: min(kept, MAX_COMPONENTS)])
    if tolerance >= MIN_TOLERANCE and sum(map(len, rings)) > MAX_CORNERS:
        return _joined([_coarser(ring, tolerance) for ring in rings])
    exact = _joined([ring.astype(np.float64) for ring in rings])
    if tolerance < MIN_TOLERANCE:
        return exact
    origin = exact.min(axis=0)
    wanted = _filled(exact - origin, exact.max(axis=0) - origin)
    while tolerance >= MIN_TOLERANCE:
        for points in sorted(_coarse(rings, tolerance), key=len):
            if dice(_filled(points - origin, wanted.shape[::-1]), wanted) >= MIN_DSC:
                return points
        tolerance *= TOLERANCE_FACTOR
    return exact


def outlined(mask: NDArray[np.bool_], tolerance: float, most: int | None = None) -> list[Points]:
    """One outline per component of a mask (H, W), largest first, simplified within `tolerance` pixels.

    If the outlines have more than `most` points in total, they are simplified further, even if their Dice
    drops, and holes smaller than the tolerance are filled. Components are left out only if there are fewer
    than four points for each.
    """
    found = worth_drawing(components(mask))
    written = [simplified(component, tolerance) for component in found]
    if most is None or sum(map(len, written)) <= most:
        return written
    found = found[: most // FEWEST_POINTS]
    coarseness = max(tolerance, 1.0)
    while sum(map(len, written := [_coarsest(each, coarseness) for each in found])) > most:
        coarseness *= COARSENING
    return written


def percent(points: Points, size: tuple[int, ...]) -> list[list[float]]:
    """Corners (N, 2) in pixels as [x, y] pairs in percent of the image, as Label Studio stores them."""
    height, width = size
    pairs: list[list[float]] = np.round(points * 100 / np.array([width, height]), 6).tolist()
    return pairs


def _longest(chains: list[Ring], hierarchy: NDArray[Any]) -> tuple[list[Ring], NDArray[Any]]:
    """The longest chains with their OpenCV hierarchy, parent indices adjusted; no hole without its parent."""
    if len(chains) <= MAX_CHAINS:
        return chains, hierarchy
    kept = np.zeros(len(chains), np.bool_)
    kept[np.argsort([-len(chain) for chain in chains], kind="stable")[:MAX_CHAINS]] = True
    parents = hierarchy[:, 3]
    kept &= (parents < 0) | kept[parents]
    left = hierarchy[kept].copy()
    left[:, 3] = np.where(left[:, 3] < 0, -1, (np.cumsum(kept) - 1)[left[:, 3]])
    return [chains[index] for index in np.flatnonzero(kept)], left


def _corners(chain: Ring) -> Ring:
    """A ring without repeated points and without points on straight edges."""
    ring = chain[np.any(chain != np.roll(chain, 1, axis=0), axis=1)]
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    turns = before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]
    kept: Ring = ring[turns]
    return kept


def _area(ring: Ring) -> int:
    """Number of pixels inside a ring along pixel edges."""
    return round(abs(_doubled_area(ring)) / 2)


def _doubled_area(ring: Ring | Points) -> float:
    x, y = ring.astype(np.float64).T
    return float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))


def _droppable(areas: list[int], share: float, whole: int | None = None) -> int:
    """How many of the last of `areas`, sorted descending, together have at most `share` of the whole."""
    budget = share * (sum(areas) if whole is None else whole)
    return int(np.searchsorted(np.cumsum(areas[::-1]), budget, side="right"))


def _middles(ring: Ring) -> Points:
    """The middle of every pixel edge along a ring."""
    steps = np.roll(ring, -1, axis=0) - ring
    lengths = np.abs(steps).sum(axis=1)
    step = np.repeat(np.sign(steps), lengths, axis=0)
    within = np.arange(len(step)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    middles: Points = np.repeat(ring, lengths, axis=0) + step * (within[:, None] + 0.5)
    return middles


def _coarser(ring: Ring | Points, tolerance: float) -> Points:
    """A ring simplified by at most `tolerance`; unchanged if fewer than three points would be left."""
    doubled = np.round(ring * 2).astype(np.int32)
    found = cv2.approxPolyDP(doubled[:, None], 2 * tolerance, closed=True)[:, 0] / 2
    return found if len(found) >= 3 else ring.astype(np.float64)


def _coarsest(component: Component, tolerance: float) -> Points:
    """A component's outline simplified by at most `tolerance`, down to four points; only its larger holes."""
    holes = [hole for hole in component.holes if _area(hole) > (2 * tolerance) ** 2]
    rings = [_coarser(ring, tolerance) for ring in (component.outer, *holes)]
    if len(rings) > 1 or tolerance < min(np.ptp(component.outer, axis=0)):
        return _joined(rings)
    (left, top), (right, bottom) = component.outer.min(axis=0), component.outer.max(axis=0)
    return np.array([(left, top), (right, top), (right, bottom), (left, bottom)], np.float64)


def _coarse(rings: tuple[Ring, ...], tolerance: float) -> list[Points]:
    """Outlines simplified from corners (best for angular shapes) and from edge middles (for round ones)."""
    return [
        _joined([_coarser(ring, tolerance) for ring in variant]) for variant in (rings, map(_middles, rings))
    ]


def _joined(rings: list[Points]) -> Points:
    """One ring of an outline and its holes, each joined by a cut between the nearest points."""
    outline = rings[0]
    clockwise = _doubled_area(outline) > 0
    for ring in rings[1:]:
        hole = ring[::-1] if (_doubled_area(ring) > 0) == clockwise else ring
        here, there = _nearest(outline, hole)
        outline = np.concatenate([outline[: here + 1], hole[there:], hole[: there + 1], outline[here:]])
    return outline


def _nearest(outline: Points, hole: Points) -> tuple[int, int]:
    """Indices of the nearest pair of points of the two; of a large hole only every n-th point is compared."""
    step = 1 + len(outline) * len(hole) // 100_000
    some = hole[::step]
    distances = ((outline[:, None] - some[None]) ** 2).sum(axis=2)
    here, there = divmod(int(distances.argmin()), len(some))
    return here, there * step


def _filled(points: Points, size: Iterable[float]) -> NDArray[np.bool_]:
    """The pixels that an outline fills on an array of this size (width, height)."""
    width, height = (int(side) for side in size)
    canvas = np.zeros((height, width), np.bool_)
    top, left, mask = fill(points, (height, width))
    canvas[top : top + mask.shape[0], left : left + mask.shape[1]] = mask
    return canvas
