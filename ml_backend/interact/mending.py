"""Mending: the regions that change a label's mask on a page from what it is to what it should be.

An answer's region with the id of one on the page replaces it, so each change goes to the region that it
touches, and what touches none becomes a new one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from ml_backend.interact.page import PageRegion
from ml_backend.label_studio.config import Control, LabelConfig
from ml_backend.label_studio.regions.emptied import EMPTIED, empty_value
from ml_backend.label_studio.regions.masks import KINDS, results
from ml_backend.label_studio.regions.shape import Size
from model.interaction.prompts import Extent

NEAR = np.ones((3, 3), np.uint8)
"""Pixels that touch by an edge or a corner are connected."""


def mended(
    regions: Sequence[PageRegion],
    after: NDArray[np.bool_],
    config: LabelConfig,
    label: str,
    points: int | None = None,
) -> list[dict[str, Any]]:
    """The regions that have changed, each with its id, and the new ones.

    Args:
        regions: all of the label on the page.
        after: (H, W), the label's mask as it should be.
        config: the labeling config.
        label: as the config names it.
        points: most points of an outline, see `regions.masks.results`.
    """
    # Masks are changed in place and dropped early: each takes 31 MB for an image of 31 megapixels.
    added = np.zeros_like(after)
    for region in regions:
        added |= region.mask
    np.greater(after, added, out=added)
    masks = [region.mask & after for region in regions]
    new = np.zeros_like(after)
    changed = Extent.of(added)
    if changed is not None:
        # The pixels beside it say which region it touches; numbering parts takes four bytes a pixel.
        top, left = max(0, changed.top - 1), max(0, changed.left - 1)
        near = slice(top, changed.bottom + 1), slice(left, changed.right + 1)
        new[near] = _given(added[near], [mask[near] for mask in masks])
    del added
    answer: list[dict[str, Any]] = []
    for region, mask in zip(regions, masks, strict=True):
        if not np.array_equal(mask, region.mask):
            answer += _written(mask, region.control, config, label, points, region.id)
    if new.any():
        answer += _written(new, config.control_of(label), config, label, points)
    return answer


def _given(added: NDArray[np.bool_], masks: Sequence[NDArray[np.bool_]]) -> NDArray[np.bool_]:
    """Give each added part to the mask that it touches most, in place; returns the parts that touch none."""
    new = np.zeros_like(added)
    count, parts = cv2.connectedComponents(np.ascontiguousarray(added).view(np.uint8), connectivity=8)
    for number in range(1, count):
        part = parts == number
        owner = _owner(part, masks)
        target = new if owner is None else masks[owner]
        target |= part
    return new


def _owner(part: NDArray[np.bool_], masks: Sequence[NDArray[np.bool_]]) -> int | None:
    """Which of the masks an added part touches most; None if it touches none."""
    around = cv2.dilate(part.view(np.uint8), NEAR).view(np.bool_)
    shared = [int((mask & around).sum()) for mask in masks]
    return int(np.argmax(shared)) if any(shared) else None


def _written(
    mask: NDArray[np.bool_],
    control: Control,
    config: LabelConfig,
    label: str,
    points: int | None,
    name: str | None = None,
) -> list[dict[str, Any]]:
    """A mask as regions of one control; its largest component keeps the id."""
    index = config.indices[label]
    if not mask.any():
        return [] if name is None else _emptied((mask.shape[0], mask.shape[1]), control, config, label, name)
    labels = np.multiply(mask.view(np.uint8), np.uint8(index))
    written = results(labels, replace(config, controls=(control,)), points=points)
    if name is not None and written:
        first = written[0]["id"]
        for result in written:
            if result["id"] == first:
                result["id"] = name
    return written


def _emptied(
    size: Size, control: Control, config: LabelConfig, label: str, name: str
) -> list[dict[str, Any]]:
    """A region without a pixel: an answer cannot remove one from the page."""
    pixel = np.zeros(size, np.uint8)
    pixel[: size[0] // 2 + 1, : size[1] // 2 + 1] = config.indices[label]
    value = empty_value(control.form, size)
    return [
        result | {"id": name, "value": _labels_of(result) | value, "meta": {"text": [EMPTIED]}}
        for result in results(pixel, replace(config, controls=(control,)))
    ]


def _labels_of(result: dict[str, Any]) -> dict[str, Any]:
    """The part of a result's value that names its label."""
    return {key: names for key, names in result["value"].items() if key in KINDS}
