"""Pictures of suspicious labels: the mask that a person drew, or the one that a network saw, over the image.

Both are made from what the examination stored (`ml_backend.learn.evidence.picture`).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from ml_backend.page.pictures import paint

MASKS = ("drawn", "seen")
"""Which mask is shown; the index of the channel, less one."""
SIDE = 320
"""Longer side of a picture, in pixels."""
MARGIN = 5
"""Pixels between a place and the frame that marks it."""
SMALLEST_MARK = 24
"""Shortest side of that frame, so that it is seen."""


def draw(picture: bytes, mark: Sequence[int], which: str) -> bytes:
    """A JPEG of one mask, filled lightly and outlined in its labels' colours, with a frame around the place.

    Args:
        picture: PNG with the channels grey values, drawn label map, seen label map.
        mark: [left, top, right, bottom] of the place in its pixels; empty for none.
        which: of `MASKS`.
    """
    channels = np.asarray(cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR), np.uint8)
    height, width = channels.shape[:2]
    scale = SIDE / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    grey = np.asarray(cv2.resize(channels[..., 0], size, interpolation=cv2.INTER_LINEAR), np.uint8)
    labels = channels[..., 1 + MASKS.index(which)]
    colour = np.repeat(grey[..., None], 3, axis=2)
    paint(colour, np.asarray(cv2.resize(labels, size, interpolation=cv2.INTER_NEAREST), np.uint8))
    if len(mark) == 4:
        _frame(colour, [round(value * scale) for value in mark])
    encoded = cv2.imencode(".jpg", colour[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 85])[1]
    return encoded.tobytes()


def _frame(colour: NDArray[np.uint8], mark: Sequence[int]) -> None:
    """Draw a white frame on a black one around a place: it is seen on bright and dark images alike."""
    height, width = colour.shape[:2]
    left, right = _widened(mark[0], mark[2], width)
    top, bottom = _widened(mark[1], mark[3], height)
    for tone, thickness in ((0, 5), (255, 2)):
        cv2.rectangle(colour, (left, top), (right, bottom), (tone, tone, tone), thickness, cv2.LINE_AA)


def _widened(first: int, last: int, most: int) -> tuple[int, int]:
    """The sides of the frame around pixels from `first` to `last`, inside an image of `most` pixels."""
    more = max(MARGIN, (SMALLEST_MARK - (last - first)) // 2)
    return min(max(first - more, 2), most - 3), max(min(last + more, most - 3), 2)
