"""Training batches: an endless sequence that depends on the seed and the step alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from model.training.augmentation import Augmentation
from model.training.canvases import collate, padded
from model.training.cropping import cropped
from model.training.dataset import Example
from model.training.device import CPU, TrainingDevice
from model.training.prompting import Episodes, PromptBatch
from model.training.ranks import ALONE, Ranks
from model.training.sampling import Sampler, have_sides

FIRST_STEPS = 10
"""Steps that learn from new examples, which would otherwise wait for their turn among all others."""


class Batch(NamedTuple):
    """Images (N, 1, h, w) float32 as the network takes them; targets (N, h, w) int64, 255 = ignored.

    `weights` (N,) float32 are those of the examples; None if all are 1. `prompted` are episodes that are
    learned beside them; None for none. All are on the training's device.
    """

    images: Tensor
    targets: Tensor
    weights: Tensor | None = None
    prompted: PromptBatch | None = None


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
        device: where the batches are needed, and where they are augmented and cropped.
        ranks: the processes that share each batch; this one's share is given, in the size of the whole batch.
        episodes: about prompts, in each batch; without effect on a source.
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
        device: TrainingDevice = CPU,
        ranks: Ranks = ALONE,
        episodes: int = 0,
    ) -> None:
        self._examples = examples
        self._device = device
        self._slots = ranks.slots(size)
        self._first = first
        self._since = since
        self._size = size
        self._seed = seed
        self._crop = crop
        self._sampler, mirror = None, True
        self._episodes: Episodes | None = None
        if not isinstance(examples, ExampleSource):
            self._sampler = Sampler(examples, seed, balanced=balanced)
            mirror = not have_sides(examples)
            if episodes:
                self._episodes = Episodes(examples, -(-episodes // ranks.count), seed, ranks.rank)
        self._augmentation = Augmentation(seed, mirror=mirror) if augment else None

    def examples(self, step: int) -> list[Example]:
        """The examples in the batch of a step (from 0), before augmentation."""
        return [example for example, _ in self._drawn(step)]

    def batch(self, step: int) -> Batch:
        """The batch of a step (from 0)."""
        drawn = self._drawn(step)
        shapes = [(example.image.shape[0], example.image.shape[1]) for example, _ in drawn]
        pairs = [(drawn[slot][0].image, drawn[slot][0].mask) for slot in self._slots]
        if self._augmentation is None:
            canvases = collate(pairs, self._device, padded(shapes))
        else:
            canvases = self._augmentation.varied(
                pairs, self._device, step=step, slots=self._slots, size=padded(shapes)
            )
        if self._crop is not None:
            side = self._crop
            draws = [np.random.default_rng([self._seed, step, slot]).random(3) for slot in self._slots]
            size = padded([(min(side, height), min(side, width)) for height, width in shapes])
            canvases = cropped(canvases, side, [drawn[slot][1] for slot in self._slots], draws, size)
        weights = None
        if any(example.weight != 1 for example, _ in drawn):
            weights = self._device.moved(torch.tensor([drawn[slot][0].weight for slot in self._slots]))
        episodes = None if self._episodes is None else self._episodes.batch(step)
        prompted = None if episodes is None else episodes.on(self._device)
        return Batch(canvases.images, canvases.masks.long(), weights, prompted)

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
        """Batches of the steps from `first` on; a thread prepares each while the one before is in use.

        On a GPU the thread only queues its work, in the same stream as the steps: batches are complete when
        steps use them, and nobody waits.
        """
        with ThreadPoolExecutor(max_workers=1, thread_name_prefix="batches") as thread:
            pending = thread.submit(self.batch, first)
            for step in count(first + 1):
                batch = pending.result()
                pending = thread.submit(self.batch, step)
                yield batch
