"""The endless sequence of training batches, a function of the seed and the step alone."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.augmentation import Augmentation
from model.dataset import Example
from model.loss import IGNORE_INDEX
from model.preprocessing import to_network

MULTIPLE = 16


class Batch(NamedTuple):
    """Images (N, 1, h, w) float32 as the network takes them; targets (N, h, w) int64, 255 = ignored."""

    images: Tensor
    targets: Tensor


class Batches:
    """Draws batches without replacement, reshuffled each epoch; step k is the same whenever it is asked for.

    Canvases of unequal size are padded at the right and bottom to the largest of their batch (a multiple of
    16), with black that the loss ignores. Nothing is kept between steps that decides anything, so a resumed
    run sees what an unkilled one would have seen.

    Args:
        examples: at least one.
        size: examples in a batch; a batch may span two epochs, and holds an example twice only if there
            are fewer than that or an epoch ends within it.
        seed: of order and augmentation.
        augment: whether examples are varied by `Augmentation`.
    """

    def __init__(self, examples: Sequence[Example], size: int, *, seed: int, augment: bool) -> None:
        self._examples = examples
        self._size = size
        self._seed = seed
        self._augmentation = Augmentation(seed) if augment else None

    def indices(self, step: int) -> list[int]:
        """Which examples the batch of a step (from 0) holds."""
        positions = range(step * self._size, (step + 1) * self._size)
        return [
            int(self._order(position // len(self._examples))[position % len(self._examples)])
            for position in positions
        ]

    def batch(self, step: int) -> Batch:
        """The batch of a step (from 0)."""
        pairs = []
        for slot, index in enumerate(self.indices(step)):
            image, mask = self._examples[index].image, self._examples[index].mask
            if self._augmentation is not None:
                image, mask = self._augmentation(image, mask, step=step, slot=slot)
            pairs.append((image, mask))
        return collate(pairs)

    def stream(self, first: int) -> Generator[Batch, None, None]:
        """Batches of the steps from `first` on, each made by a thread while the one before is in use."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as thread:
            pending = thread.submit(self.batch, first)
            for step in count(first + 1):
                batch = pending.result()
                pending = thread.submit(self.batch, step)
                yield batch

    def _order(self, epoch: int) -> NDArray[np.int64]:
        return np.random.default_rng([self._seed, epoch]).permutation(len(self._examples))


def collate(pairs: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]]) -> Batch:
    """Stack canvases (h, w) and label maps (h, w) of any sizes into one padded batch."""
    height, width = (
        -(-max(image.shape[axis] for image, _ in pairs) // MULTIPLE) * MULTIPLE for axis in (0, 1)
    )
    images = torch.zeros(len(pairs), 1, height, width)
    targets = torch.full((len(pairs), height, width), IGNORE_INDEX, dtype=torch.int64)
    for index, (image, mask) in enumerate(pairs):
        h, w = image.shape
        images[index, :, :h, :w] = torch.from_numpy(to_network(image))
        targets[index, :h, :w] = torch.from_numpy(mask)
    return Batch(images, targets)
