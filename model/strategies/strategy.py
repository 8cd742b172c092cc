"""The base class of query strategies: a score for one image, and a batch from a pool."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from model.strategies.measurement import Measurement

if TYPE_CHECKING:
    from torch import Tensor

    from model.engines.decoder_rewrite import RewrittenUNet
    from model.network import NetworkSettings

Probe = Callable[["RewrittenUNet", list["Tensor"]], "Tensor"]
"""As `model.engines.interface.Probe`."""


class StrategyError(ValueError):
    """A strategy does not exist or cannot be used; the message is one sentence that says what to do."""


class Strategy(ABC):
    """Decides which images of a pool are labelled next.

    Attributes:
        name: name as `parse` takes it.
        highest_first: direction: whether the highest score is labelled first, otherwise the lowest.
        forwards: cost of measuring one image, in forward passes of the network.
        source: the equation, section or paper that the strategy comes from.
        dropout: dropout of the networks that are trained for it (`model.network.NetworkSettings`).
        follows_score: whether the order is that of the score that Label Studio shows, the mean of L-DSC and
            M-DSC. All other strategies need a list of the images to label next beside it.
        batch_aware: whether images are chosen jointly, so that scores alone do not determine the batch.
        reads_mask: whether the strategy depends on the predicted mask; only then are blank masks ranked last.
        reads_labelled: whether the batch depends on the features of the labelled images.
        counts_labelled: whether the batch depends on their number alone.
    """

    name: str
    highest_first: bool = False
    forwards: float = 1.0
    source: str
    dropout: float = 0.0
    follows_score: bool = False
    batch_aware: bool = False
    reads_mask: bool = True
    reads_labelled: bool = False
    counts_labelled: bool = False

    def probe(self) -> Probe | None:
        """What an engine computes of each image beside a forward, for `Measurement.probed`; mostly None."""
        return None

    def can_probe(self, network: NetworkSettings) -> bool:  # noqa: ARG002
        """Whether `probe` works with a network of these settings."""
        return True

    def score(self, m: Measurement, seed: int = 0) -> float:
        """The image's own score in [0, 1]; a blank mask gets the value that is labelled last.

        Args:
            m: measurement of the image.
            seed: seed of the random draws, for strategies that have any.

        Raises:
            StrategyError: the measurement lacks a value that this strategy needs.
        """
        if self.reads_mask and m.consistency.blank:
            return 0.0 if self.highest_first else 1.0
        return min(max(self._score(m, seed), 0.0), 1.0)

    @abstractmethod
    def _score(self, m: Measurement, seed: int) -> float:
        """The score of an image; clipped to [0, 1] by `score`. Not called for blank masks if `reads_mask`."""

    def batch(
        self,
        pool: Sequence[Measurement],
        labelled: Sequence[NDArray[np.float32]],
        size: int,
        seed: int,
    ) -> list[int]:
        """The images to label next, in order.

        Args:
            pool: unlabelled images with unique keys; their order does not matter.
            labelled: features (D,) of the labelled images, under the same version as the pool's; of a
                strategy that only counts them, empty ones.
            size: number of images; a smaller pool is returned whole.
            seed: seed of ties and random draws.

        Returns:
            `min(size, len(pool))` distinct indices of `pool`. If `reads_mask`, blank masks only fill places
            for which no other image is left.

        Raises:
            StrategyError: a measurement lacks a value that this strategy needs.
        """
        # Sorted by key, so that nothing downstream can depend on the order of the pool.
        order = sorted(range(len(pool)), key=lambda index: pool[index].key)
        drawn = [index for index in order if not (self.reads_mask and pool[index].consistency.blank)]
        blank = sorted(set(order) - set(drawn), key=lambda index: uniform(pool[index].key, seed))
        count = min(size, len(drawn))
        chosen = self._choose([pool[index] for index in drawn], labelled, count, seed) if count > 0 else []
        return [*(drawn[index] for index in chosen), *blank][: max(size, 0)]

    def _choose(
        self,
        pool: Sequence[Measurement],
        labelled: Sequence[NDArray[np.float32]],  # noqa: ARG002 - read by batch-aware strategies
        size: int,
        seed: int,
    ) -> list[int]:
        """`batch` for a pool sorted by key, without blank masks, and 0 < `size` ≤ len(pool)."""
        return self.ranking(pool, seed)[:size]

    def ranking(self, pool: Sequence[Measurement], seed: int) -> list[int]:
        """Indices of the whole pool sorted by `score`, the first to be labelled first; ties are random.

        Raises:
            StrategyError: a measurement lacks a value that this strategy needs.
        """
        sign = -1 if self.highest_first else 1
        key: Callable[[int], tuple[float, float]] = lambda index: (  # noqa: E731
            sign * self.score(pool[index], seed),
            uniform(pool[index].key, seed),
        )
        return sorted(range(len(pool)), key=key)


def uniform(key: str, seed: int, purpose: str = "") -> float:
    """A uniform random number in [0, 1) that depends only on key, seed and purpose; equal on all machines."""
    digest = hashlib.blake2b(f"{seed}/{purpose}/{key}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) / 2**53
