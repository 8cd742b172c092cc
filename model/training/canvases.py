"""A batch of canvases of unequal size with their label maps, on the device of a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.loss import IGNORE_INDEX
from model.training.device import TrainingDevice

MULTIPLE = 16
"""Heights and widths of a batch are multiples of it."""

Shape = tuple[int, int]
"""Height and width of a canvas."""


@dataclass(frozen=True)
class Canvases:
    """Canvases, each in the upper left corner of its place in the batch.

    Attributes:
        images: (N, 1, H, W) float32 in [0, 1], as `model.imaging.preprocessing.to_network` scales; 0 outside.
        masks: (N, H, W) uint8 label maps; 255 where unknown, and outside.
        shapes: of the canvases; at most H and W.
        device: where the tensors are.
    """

    images: Tensor
    masks: Tensor
    shapes: Sequence[Shape]
    device: TrainingDevice

    @cached_property
    def inside(self) -> Tensor | None:
        """(N, 1, H, W) booleans: whether a pixel belongs to its canvas; None if all do."""
        return inside(self.shapes, self.size, self.device)

    @property
    def size(self) -> Shape:
        """H and W."""
        return self.masks.shape[1], self.masks.shape[2]


def padded(shapes: Sequence[Shape]) -> Shape:
    """Height and width of a batch of canvases of these shapes."""
    height, width = (-(-max(shape[axis] for shape in shapes) // MULTIPLE) * MULTIPLE for axis in (0, 1))
    return height, width


def inside(shapes: Sequence[Shape], size: Shape, device: TrainingDevice) -> Tensor | None:
    """(N, 1, *size) booleans on the device: whether a pixel belongs to its canvas; None if all do."""
    if all(shape == size for shape in shapes):
        return None
    lengths = device.moved(torch.tensor(shapes))[:, :, None, None]
    rows, columns = (torch.arange(length, device=lengths.device) for length in size)
    return (rows[:, None] < lengths[:, :1]) & (columns < lengths[:, 1:])


def collate(
    pairs: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]],
    device: TrainingDevice,
    size: Shape | None = None,
) -> Canvases:
    """Stack canvases (h, w) and label maps (h, w) of any sizes into one padded batch on the device.

    Args:
        pairs: canvases and label maps.
        device: where the batch is needed.
        size: height and width of the batch; by default the smallest possible.
    """
    shapes = [(image.shape[0], image.shape[1]) for image, _ in pairs]
    images = np.zeros((len(pairs), 1, *(size or padded(shapes))), np.uint8)
    masks = np.full((len(pairs), *(size or padded(shapes))), IGNORE_INDEX, np.uint8)
    for index, (image, mask) in enumerate(pairs):
        h, w = image.shape
        images[index, 0, :h, :w] = image
        masks[index, :h, :w] = mask
    # As bytes, a quarter of what the network reads.
    grey, labels = (device.moved(torch.from_numpy(array)) for array in (images, masks))
    return Canvases(grey.float().mul_(1 / 255), labels, shapes, device)
