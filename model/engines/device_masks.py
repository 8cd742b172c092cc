"""Masks drawn by torch on the device that has the probabilities, while the processor does other work."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from model.imaging.frame import Frame


def draw_masks(probabilities: Tensor, frame: Frame, threshold: float | None = None) -> Tensor | None:
    """The label maps of an image, as `model.segmenter.hard_mask` draws each.

    Rounding may decide otherwise where two classes are equally probable: in less than one of 10 000 pixels.

    Args:
        probabilities: float32 (3, C, h, w) on the canvas.
        frame: the canvas's position on the image.
        threshold: see `hard_mask`.

    Returns:
        (3, H, W) uint8 on the same device; None if the image is smaller than its canvas, since torch has no
        area average over parts of pixels.
    """
    top, left, height, width = frame.crop
    if height < frame.scaled[0] or width < frame.scaled[1]:
        return None
    content = probabilities[:, :, : frame.scaled[0], : frame.scaled[1]]
    masks = torch.zeros(3, *frame.original, dtype=torch.uint8, device=content.device)
    drawn = masks[:, top : top + height, left : left + width]

    def plane(index: int) -> Tensor:
        channel = content[:, index : index + 1]
        return F.interpolate(channel, (height, width), mode="bilinear", align_corners=False)[:, 0]

    classes = content.shape[1]
    if classes == 2:
        foreground = plane(1)
        drawn.copy_(foreground > 0.5 if threshold is None else foreground >= threshold)
        return masks
    background = plane(0)
    best = background.clone() if threshold is None else torch.zeros_like(background)
    for index in range(1, classes):
        channel = plane(index)
        drawn.masked_fill_(channel > best, index)
        best = torch.maximum(best, channel)
    if threshold is not None:
        drawn.masked_fill_(background > 1 - threshold, 0)
    return masks
