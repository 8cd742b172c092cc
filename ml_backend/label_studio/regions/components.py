"""The components of a mask: pixels connected by edges or corners, each a region of its own."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.regions.rle import runs_of

MAX_COMPONENTS = 200
"""Maximum regions written for one label; nobody could correct more."""


class Parts(NamedTuple):
    """The parts of a mask.

    Attributes:
        numbers: (H, W), the number of the part that a pixel belongs to, from 1; 0 beside the mask.
        highest: the highest number.
    """

    numbers: NDArray[np.uint8]
    highest: int


def numbered(mask: NDArray[np.bool_]) -> Parts:
    """The components of a mask (H, W), numbered by size.

    The largest gets 1. Beyond `MAX_COMPONENTS` the smallest ones share the last number, so that no pixel of
    an exact form is lost.
    """
    left, top, across, along = cv2.boundingRect(mask.view(np.uint8))
    if not across:
        return Parts(mask.view(np.uint8), 0)
    box = np.s_[top : top + along, left : left + across]
    # The empty column keeps a run from going on in the next row, maybe with another component.
    part = np.zeros((along, across + 1), np.uint8)
    part[:, :across] = mask[box]
    count, parts = cv2.connectedComponents(part, connectivity=8)
    if count <= 2:
        return Parts(mask.view(np.uint8), count - 1)
    # Run by run: OpenCV's statistics of every pixel take longer than finding the components.
    runs = runs_of(part)
    components = np.asarray(parts).ravel()[np.cumsum(runs.lengths) - runs.lengths]
    areas = np.bincount(components, weights=runs.lengths, minlength=count)[1:]
    order = np.argsort(-areas, kind="stable")
    numbers = np.zeros(count, np.uint8)
    numbers[1 + order] = np.minimum(np.arange(1, count), MAX_COMPONENTS)
    whole = np.zeros(mask.shape, np.uint8)
    whole[box] = np.repeat(numbers[components], runs.lengths).reshape(part.shape)[:, :across]
    return Parts(whole, min(count - 1, MAX_COMPONENTS))
