"""Parts of large canvases, cut out on the device of a batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.loss import IGNORE_INDEX
from model.training.canvases import Canvases, Shape, inside, padded


def cropped(
    canvases: Canvases,
    side: int,
    labels: Sequence[int | None],
    draws: Sequence[NDArray[np.float64]],
    size: Shape | None = None,
) -> Canvases:
    """A part of each canvas, of at most `side` × `side` pixels.

    Args:
        canvases: whole ones.
        side: longest side of a part.
        labels: class index of which each part contains a pixel, if its map does; None for a part at random.
        draws: three random numbers in [0, 1) for each part: which pixel, which row, which column.
        size: height and width of the result; by default the smallest possible.
    """
    device = canvases.device
    shapes = [(min(side, height), min(side, width)) for height, width in canvases.shapes]
    height, width = size or padded(shapes)
    numbers = device.moved(torch.from_numpy(np.stack(draws)))
    whole, part = (device.moved(torch.tensor(lengths)) for lengths in (canvases.shapes, shapes))
    corner = (numbers[:, 1:] * (whole - part + 1)).long()
    if any(label is not None for label in labels):
        pixel, exists = _pixel_of_label(canvases, labels, numbers[:, 0])
        around = (pixel - (numbers[:, 1:] * part).long()).clamp_(min=0).minimum(whole - part)
        corner = around.where(exists[:, None], corner)
    rows = (corner[:, 0, None] + torch.arange(height, device=corner.device)).clamp_(max=canvases.size[0] - 1)
    columns = (corner[:, 1, None] + torch.arange(width, device=corner.device)).clamp_(
        max=canvases.size[1] - 1
    )
    place = (
        torch.arange(len(shapes), device=corner.device)[:, None, None],
        rows[:, :, None],
        columns[:, None, :],
    )
    images, masks = canvases.images[:, 0][place][:, None], canvases.masks[place]
    kept = inside(shapes, (height, width), device)
    if kept is not None:
        images, masks = images * kept, masks.where(kept[:, 0], IGNORE_INDEX)
    return Canvases(images, masks, shapes, device)


def _pixel_of_label(
    canvases: Canvases, labels: Sequence[int | None], number: Tensor
) -> tuple[Tensor, Tensor]:
    """A pixel (N, 2) of each label, every one as likely, and whether there is one; nothing is read here.

    Args:
        canvases: with the label maps.
        labels: class index for each, or None.
        number: (N,) random numbers in [0, 1).
    """
    sought = canvases.device.moved(torch.tensor([-1 if label is None else label for label in labels]))
    members = (canvases.masks == sought[:, None, None]).flatten(1)
    counted = members.cumsum(1, dtype=torch.int32)
    count = counted[:, -1]
    place = torch.searchsorted(counted, (number * count).int()[:, None] + 1)[:, 0]
    place = place.clamp_(max=members.shape[1] - 1)
    columns = canvases.size[1]
    return torch.stack([place // columns, place % columns], 1), count > 0
