"""From the probabilities of a canvas to the label map of its image."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from model.imaging.frame import Frame

ROUNDING = 1e-4
"""Relative error allowed for probabilities that should sum to 1."""


def hard_mask(
    probabilities: NDArray[np.float32], frame: Frame, threshold: float | None = None
) -> NDArray[np.uint8]:
    """The most probable class of every pixel of the original image; equal probabilities: the lower index.

    Args:
        probabilities: (C, h, w) on the canvas.
        frame: the canvas's position on the image.
        threshold: in (0, 1); if given, a pixel gets its most probable label if 1 − the background's
            probability is at least this, even if the background is more probable.

    Returns:
        A label map (H, W). Without a threshold it equals `frame.back(probabilities).argmax(0)` up to
        rounding, but needs less memory than C float32 planes of the image's size.
    """
    if len(probabilities) == 2:
        drawn = np.zeros(frame.original, np.bool_)
        least = 0.5 if threshold is None else threshold
        window, foreground = frame.back_part(probabilities[1], least * (1 - ROUNDING))
        drawn[window] = foreground > least if threshold is None else foreground >= least
        return drawn.view(np.uint8)
    background = frame.back_channel(probabilities[0], outside=1.0)
    best = background if threshold is None else np.zeros_like(background)
    labels = np.zeros(frame.original, np.uint8)
    # Where a label is drawn it is the most probable one, and has at least its share of what is distributed.
    least = 1 / len(probabilities) if threshold is None else threshold / (len(probabilities) - 1)
    for index, channel in enumerate(probabilities[1:], start=1):
        window, plane = frame.back_part(channel, least * (1 - ROUNDING))
        labels[window][plane > best[window]] = index
        np.maximum(best[window], plane, out=best[window])
    if threshold is not None:
        labels[background > 1 - threshold] = 0
    return labels
