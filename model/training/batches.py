"""Training batches: an endless sequence that depends on the seed and the step alone."""

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

from model.imaging.preprocessing import to_network
from model.loss import IGNORE_INDEX
from model.training.augmentation import Augmentation
from model.training.dataset import Example
from model.training.sampling import Sampler, cropped, have_sides

MULTIPLE = 16

FIRST_STEPS = 10
"""Steps that learn from new examples, which would otherwise wait for their turn among all others."""


class Batch(NamedTuple):
    """Images (N, 1, h, w) float32 as the network takes them; targets (N, h, w) int64, 255 = ignored.

    `weights` (N,) float32 are those of the examples; None if all are 1.
    """

    images: Tensor
    targets: Tensor
    weights: Tensor | None = None


class ExampleSource(ABC):
    """An endless supply of examples that no list can hold, such as phantoms drawn during the training."""

    @property
    @abstractmethod
    def description(self) -> dict[str, Any]:
        """Everything that decides which examples are drawn, as JSON values; part of a run's fingerprint."""

    @abstractmethod
    def draw(self, step: int, slot: int, batch: int) -> Example:
        """The example in a slot of the `batch` slots of a step (from 0); always the same one.

        Slots and steps are requested in order, by one thread at a time.
        """


class Batches:
    """Draws batches without replacement, reshuffled each epoch; a step's batch is always the same.

    Canvases of unequal size are padded at the right and bottom to the largest of their batch (a multiple of
    16), with black that the loss ignores. A batch depends on no earlier step, so a resumed run gets the
    batches that an uninterrupted one would have got.

    Args:
        examples: at least one, or a source, which has its own order.
        size: examples in a batch; a batch may span two epochs, and contains an example twice only if there
            are fewer than `size` or an epoch ends within it.
        seed: of order, augmentation and crops.
        augment: whether `Augmentation` varies the examples; it mirrors them unless their labels have sides.
        balanced: whether rare labels are learned as often as common ones, see `Sampler`.
        crop: longest side of the part of a canvas that is used; None for whole canvases.
        first: new examples; each of the `FIRST_STEPS` steps from `since` on contains one of them, in turn.
        since: the step at which they were added.
    """

    def __init__(
        self,
        examples: Sequence[Example] | ExampleSource,
        size: int,
        *,
        seed: int,
        augment: bool,
        balanced: bool = False,
        crop: int | None = None,
        first: Sequence[Example] = (),
        since: int = 0,
    ) -> None:
        self._examples = examples
        self._first = first
        self._since = since
        self._size = size
        self._seed = seed
        self._crop = crop
        self._sampler, mirror = None, True
        if not isinstance(examples, ExampleSource):
            self._sampler = Sampler(examples, seed, balanced=balanced)
            mirror = not have_sides(examples)
        self._augmentation = Augmentation(seed, mirror=mirror) if augment else None

    def examples(self, step: int) -> list[Example]:
        """The examples in the batch of a step (from 0), before augmentation."""
        return [example for example, _ in self._drawn(step)]

    def batch(self, step: int) -> Batch:
        """The batch of a step (from 0)."""
        pairs = []
        drawn = self._drawn(step)
        for slot, (example, label) in enumerate(drawn):
            image, mask = example.image, example.mask
            if self._augmentation is not None:
                image, mask = self._augmentation(image, mask, step=step, slot=slot)
            if self._crop is not None:
                draws = np.random.default_rng([self._seed, step, slot])
                image, mask = cropped(image, mask, self._crop, label, draws)
            pairs.append((image, mask))
        batch = collate(pairs)
        if all(example.weight == 1 for example, _ in drawn):
            return batch
        return batch._replace(weights=torch.tensor([example.weight for example, _ in drawn]))

    def _drawn(self, step: int) -> list[tuple[Example, int | None]]:
        """The examples of a step, each with the label for which it was chosen."""
        if isinstance(self._examples, ExampleSource):
            return [(self._examples.draw(step, slot, self._size), None) for slot in range(self._size)]
        assert self._sampler is not None  # only a source has none
        places = (self._sampler.at(place) for place in range(step * self._size, (step + 1) * self._size))
        drawn = [(self._examples[index], label) for index, label in places]
        if self._first and 0 <= step - self._since < FIRST_STEPS:
            drawn[0] = self._first[(step - self._since) % len(self._first)], None
        return drawn

    def stream(self, first: int) -> Generator[Batch, None, None]:
        """Batches of the steps from `first` on; a thread prepares each while the one before is in use."""
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as thread:
            pending = thread.submit(self.batch, first)
            for step in count(first + 1):
                batch = pending.result()
                pending = thread.submit(self.batch, step)
                yield batch


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
