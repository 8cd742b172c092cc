"""The components of a mask: pixels connected by edges or corners, each a region of its own."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

MAX_COMPONENTS = 200
"""Maximum regions written for one label; nobody could correct more."""


def numbered(mask: NDArray[np.bool_]) -> tuple[NDArray[np.uint8], int]:
    """The components of a mask (H, W), numbered from 1 by size, and the highest number.

    The largest gets 1. Beyond `MAX_COMPONENTS` the smallest ones share the last number, so that no pixel of
    an exact form is lost.
    """
    left, top, across, along = cv2.boundingRect(mask.view(np.uint8))
    if not across:
        return mask.view(np.uint8), 0
    box = np.s_[top : top + along, left : left + across]
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask[box].view(np.uint8), connectivity=8)
    if count <= 2:
        return mask.view(np.uint8), count - 1
    order = np.argsort(-stats[1:, cv2.CC_STAT_AREA], kind="stable")
    numbers = np.zeros(count, np.uint8)
    numbers[1 + order] = np.minimum(np.arange(1, count), MAX_COMPONENTS)
    whole = np.zeros(mask.shape, np.uint8)
    # Indices are valid; checking each, as indexing does, would take three times as long.
    whole[box] = numbers.take(np.asarray(parts, np.int32), mode="clip")
    return whole, min(count - 1, MAX_COMPONENTS)
