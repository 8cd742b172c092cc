"""The endless sequence of training batches, a function of the seed and the step alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any, NamedTuple

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
    """Images (N, 1, h, w) float32 as the network takes them; targets (N, h, w) int64, 255 = ignored.

    `trust` (N,) float32 says how much each counts; None where all count fully.
    """

    images: Tensor
    targets: Tensor
    trust: Tensor | None = None


class ExampleSource(ABC):
    """Examples without end, for what no list can hold, such as phantoms drawn while they are learned from."""

    @property
    @abstractmethod
    def description(self) -> dict[str, Any]:
        """All that decides which examples are drawn, as JSON can hold it: it tells one run from another."""

    @abstractmethod
    def draw(self, step: int, slot: int, batch: int) -> Example:
        """The example in a slot of the `batch` slots of a step (from 0); the same whenever it is asked for.

        Slots and steps are asked for in their order, by one thread at a time.
        """


class Batches:
    """Draws batches without replacement, reshuffled each epoch; step k is the same whenever it is asked for.

    Canvases of unequal size are padded at the right and bottom to the largest of their batch (a multiple of
    16), with black that the loss ignores. Nothing is kept between steps that decides anything, so a resumed
    run sees what an unkilled one would have seen.

    Args:
        examples: at least one, or a source of them, which has its own order.
        size: examples in a batch; a batch may span two epochs, and holds an example twice only if there
            are fewer than that or an epoch ends within it.
        seed: of order and augmentation.
        augment: whether examples are varied by `Augmentation`.
    """

    def __init__(
        self, examples: Sequence[Example] | ExampleSource, size: int, *, seed: int, augment: bool
    ) -> None:
        self._examples = examples
        self._size = size
        self._seed = seed
        self._augmentation = Augmentation(seed) if augment else None

    def examples(self, step: int) -> list[Example]:
        """What the batch of a step (from 0) holds, before it is varied."""
        if isinstance(self._examples, ExampleSource):
            return [self._examples.draw(step, slot, self._size) for slot in range(self._size)]
        count_of = len(self._examples)
        positions = range(step * self._size, (step + 1) * self._size)
        return [
            self._examples[int(self._order(position // count_of, count_of)[position % count_of])]
            for position in positions
        ]

    def batch(self, step: int) -> Batch:
        """The batch of a step (from 0)."""
        pairs = []
        examples = self.examples(step)
        for slot, example in enumerate(examples):
            image, mask = example.image, example.mask
            if self._augmentation is not None:
                image, mask = self._augmentation(image, mask, step=step, slot=slot)
            pairs.append((image, mask))
        batch = collate(pairs)
        if all(example.trust == 1 for example in examples):
            return batch
        return batch._replace(trust=torch.tensor([example.trust for example in examples]))

    def stream(self, first: int) -> Generator[Batch, None, None]:
        """Batches of the steps from `first` on, each made by a thread while the one before is in use."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as thread:
            pending = thread.submit(self.batch, first)
            for step in count(first + 1):
                batch = pending.result()
                pending = thread.submit(self.batch, step)
                yield batch

    def _order(self, epoch: int, count_of: int) -> NDArray[np.int64]:
        return np.random.default_rng([self._seed, epoch]).permutation(count_of)


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
