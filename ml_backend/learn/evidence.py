"""What is kept of an examined label: what speaks against its masks as JSON, and a picture of both masks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ml_backend.store.models import ExaminedLabel
from model.imaging.decoding import Grey
from model.loss import IGNORE_INDEX
from model.suspicion import Evidence, Region

MOST_REGIONS = 5
"""Regions that are kept of a label."""
PICTURE_SIDE = 320
"""Longest side of a picture in pixels."""
AROUND = 4
"""A picture shows the surroundings of a place up to so many times its length."""
LEAST_SHARE = 0.25
"""Shortest side of what a picture shows, as a share of the image's longer side."""
LONGEST = 2
"""A picture is at most so many times as long as it is wide, unless the place itself is longer."""

Box = tuple[int, int, int, int]
"""(left, top, right, bottom) in pixels, right and bottom exclusive."""


def figures_of(evidence: Evidence) -> dict[str, float]:
    """The numbers that a label is judged by beside its regions, as JSON."""
    return {"gain": round(evidence.gain, 6), "agreement": round(evidence.agreement, 6)}


def regions_of(evidence: Evidence, labels: Sequence[str]) -> list[dict[str, Any]]:
    """The weightiest regions, as JSON."""
    names: Mapping[int, str | None] = {0: None, **dict(enumerate(labels, start=1))}
    return [
        {
            "given": names[region.given],
            "seen": names[region.seen],
            "pixels": region.pixels,
            "certainty": round(region.certainty, 3),
            "weight": round(region.weight, 6),
            "box": list(region.box),
        }
        for region in evidence.regions[:MOST_REGIONS]
    ]


def evidence_of(row: ExaminedLabel, labels: Sequence[str]) -> Evidence:
    """What was kept of a label, without its lighter regions and those of labels that are gone."""
    indices: Mapping[str | None, int] = {None: 0, **{name: i for i, name in enumerate(labels, start=1)}}
    regions = tuple(
        Region(
            indices[one["given"]],
            indices[one["seen"]],
            one["pixels"],
            one["certainty"],
            tuple(one["box"]),
            one["weight"],
        )
        for one in row.regions
        if one["given"] in indices and one["seen"] in indices
    )
    return Evidence(regions, (row.shift_x, row.shift_y), row.figures["gain"], row.figures["agreement"])


def place(evidence: Evidence, given: NDArray[np.uint8]) -> Box:
    """Where to look: the weightiest region, or the whole mask, if only a displacement speaks against it."""
    if evidence.regions:
        return evidence.regions[0].box
    rows, columns = np.nonzero((given > 0) & (given != IGNORE_INDEX))
    if not rows.size:
        return 0, 0, given.shape[1], given.shape[0]
    return int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1


def picture(
    image: Grey, given: NDArray[np.uint8], seen: NDArray[np.uint8], box: Box
) -> tuple[bytes, list[int]]:
    """A PNG of the part of the image around a place: grey values, the person's label map, the network's.

    These are its three channels (blue, green and red). It is at most `PICTURE_SIDE` long.

    Args:
        image: grey values (H, W); 16-bit ones are stretched to 8 bits.
        given, seen: label maps (H, W); unknown pixels are background in the picture.
        box: the place.

    Returns:
        The PNG, and the place in its pixels: [left, top, right, bottom].
    """
    left, top, right, bottom = view(box, (given.shape[0], given.shape[1]))
    parts = [one[top:bottom, left:right] for one in (_eight_bits(image), given, seen)]
    scale = min(1.0, PICTURE_SIDE / max(right - left, bottom - top))
    size = max(1, round((right - left) * scale)), max(1, round((bottom - top) * scale))
    small = [cv2.resize(parts[0], size, interpolation=cv2.INTER_AREA)]
    small += [
        cv2.resize(np.where(one == IGNORE_INDEX, 0, one), size, interpolation=cv2.INTER_NEAREST)
        for one in parts[1:]
    ]
    encoded = cv2.imencode(".png", np.dstack(small).astype(np.uint8), [cv2.IMWRITE_PNG_COMPRESSION, 9])[1]
    mark = [
        min(max(round((box[0] - left) * scale), 0), size[0]),
        min(max(round((box[1] - top) * scale), 0), size[1]),
        min(max(round((box[2] - left) * scale), 0), size[0]),
        min(max(round((box[3] - top) * scale), 0), size[1]),
    ]
    return encoded.tobytes(), mark


def view(box: Box, shape: tuple[int, int]) -> Box:
    """The part of an image of `shape` (H, W) that a picture of a place shows."""
    height, width = shape
    longer = max(box[2] - box[0], box[3] - box[1])
    side = max(AROUND * longer, round(LEAST_SHARE * max(shape)), 1)
    across, down = min(side, width), min(side, height)
    longest = max(LONGEST * min(across, down), round(1.25 * longer))
    across, down = min(across, longest), min(down, longest)
    left = min(max((box[0] + box[2] - across) // 2, 0), width - across)
    top = min(max((box[1] + box[3] - down) // 2, 0), height - down)
    return left, top, left + across, top + down


def _eight_bits(image: Grey) -> NDArray[np.uint8]:
    if image.dtype == np.uint8:
        return np.asarray(image, np.uint8)
    low, high = (float(value) for value in np.percentile(image, (0.5, 99.5)))
    stretched = (image.astype(np.float32) - low) * (255.0 / max(high - low, 1.0))
    return np.clip(stretched, 0, 255).astype(np.uint8)
