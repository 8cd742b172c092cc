"""What every query strategy is: a score for one image, and a batch out of a pool."""

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
    """A strategy that does not exist or cannot work here; one sentence that says what to do."""


class Strategy(ABC):
    """Says which images of a pool are labelled next.

    Attributes:
        name: as `parse` takes it.
        highest_first: whether the highest score is labelled first; otherwise the lowest.
        forwards: what it costs to measure one image, in forwards of the network.
        source: the equation, section or paper it comes from.
        dropout: of the networks that are trained for it, see `model.network.NetworkSettings`.
        batch_aware: whether images are chosen together, so that a score alone does not tell the order.
        reads_mask: whether it looks at what the network drew; only then are blank masks put last.
        reads_labelled: whether its batch hangs on the labelled images' features.
    """

    name: str
    highest_first: bool = False
    forwards: float = 1.0
    source: str
    dropout: float = 0.0
    batch_aware: bool = False
    reads_mask: bool = True
    reads_labelled: bool = False

    def probe(self) -> Probe | None:
        """What an engine computes of each image beside a forward, for `Measurement.probed`; mostly None."""
        return None

    def can_probe(self, network: NetworkSettings) -> bool:  # noqa: ARG002
        """Whether `probe` works with a network of these settings."""
        return True

    def score(self, m: Measurement, seed: int = 0) -> float:
        """The image's own score in [0, 1]; a blank mask gets the end that is labelled last.

        `seed` matters only to those that draw lots.

        Raises:
            StrategyError: if the measurement lacks what this strategy reads.
        """
        if self.reads_mask and m.consistency.blank:
            return 0.0 if self.highest_first else 1.0
        return min(max(self._score(m, seed), 0.0), 1.0)

    @abstractmethod
    def _score(self, m: Measurement, seed: int) -> float:
        """The score of an image whose mask is not blank."""

    def batch(
        self,
        pool: Sequence[Measurement],
        labelled: Sequence[NDArray[np.float32]],
        size: int,
        seed: int,
    ) -> list[int]:
        """The images to label next, in this order.

        Args:
            pool: unlabelled images with distinct keys; their order does not matter.
            labelled: features (D,) of the images that have labels, under the same version as the pool's.
            size: how many; all of a smaller pool.
            seed: decides ties and lots.

        Returns:
            `min(size, len(pool))` different indices of `pool`; of blank masks, for those that read masks,
            only what nothing else fills.

        Raises:
            StrategyError: if a measurement lacks what this strategy reads.
        """
        # In the order of keys, whatever the order of the pool: nothing downstream can then depend on it.
        order = sorted(range(len(pool)), key=lambda index: pool[index].key)
        drawn = [index for index in order if not (self.reads_mask and pool[index].consistency.blank)]
        blank = sorted(set(order) - set(drawn), key=lambda index: chance(pool[index].key, seed))
        count = min(size, len(drawn))
        chosen = self._choose([pool[index] for index in drawn], labelled, count, seed) if count > 0 else []
        return [*(drawn[index] for index in chosen), *blank][: max(size, 0)]

    def _choose(
        self,
        pool: Sequence[Measurement],
        labelled: Sequence[NDArray[np.float32]],  # noqa: ARG002 - for those that are batch-aware
        size: int,
        seed: int,
    ) -> list[int]:
        """`batch` for a pool sorted by key, without blank masks, and a size that it can fill."""
        return self.ranking(pool, seed)[:size]

    def ranking(self, pool: Sequence[Measurement], seed: int) -> list[int]:
        """Indices of the whole pool by `score`, first to be labelled first; ties by lot."""
        sign = -1 if self.highest_first else 1
        key: Callable[[int], tuple[float, float]] = lambda index: (  # noqa: E731
            sign * self.score(pool[index], seed),
            chance(pool[index].key, seed),
        )
        return sorted(range(len(pool)), key=key)


def chance(key: str, seed: int, purpose: str = "") -> float:
    """A uniform number in [0, 1) that hangs on key, seed and purpose alone; the same on every machine."""
    digest = hashlib.blake2b(f"{seed}/{purpose}/{key}".encode(), digest_size=8).digest()
    return (int.from_bytes(digest) >> 11) / 2**53
