"""The comparison of two versions on the same images, with its uncertainty, in numbers and in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from model.quality import MIN_IMAGES

CONFIDENCE = 0.95
"""Confidence level of the interval."""

RESAMPLES = 2000
"""Bootstrap samples of the interval."""


@dataclass(frozen=True)
class Comparison:
    """A challenger against the champion on the same images; all differences are challenger minus champion.

    Attributes:
        images: number of images.
        champion, challenger: mean Dice in [0, 1]; 0 without images.
        low, high: percentile bootstrap interval of the mean paired difference, over images.
    """

    images: int
    champion: float
    challenger: float
    low: float
    high: float

    @property
    def difference(self) -> float:
        """Mean paired difference, in [-1, 1]."""
        return self.challenger - self.champion

    @property
    def can_tell(self) -> bool:
        """Whether there are enough images to judge by."""
        return self.images >= MIN_IMAGES

    def is_clearly_worse(self, margin: float) -> bool:
        """Whether the challenger's mean is over `margin` below the champion's; never with too few images.

        Small losses are tolerated, since validation images are few and the challenger has seen more labels.
        """
        return self.can_tell and self.difference < -margin

    def sentence(self, champion: str) -> str:
        """The comparison in words.

        Args:
            champion: the champion's name.
        """
        if not self.can_tell:
            return (
                f"Too few to tell whether it is better than {champion}: only {self.images} validation "
                f"images were labelled without that version's masks; {MIN_IMAGES} are needed."
            )
        if self.low > 0:
            how = "Better than"
        elif self.high < 0:
            how = "Worse than"
        else:
            how = "Not clearly better or worse than"
        return (
            f"{how} {champion}: DSC {self.challenger:.3f} against {self.champion:.3f} on {self.images} "
            f"validation images, difference {signed(self.difference)} "
            f"({CONFIDENCE:.0%} interval {signed(self.low)} to {signed(self.high)})."
        )

    def to_dict(self) -> dict[str, Any]:
        """The comparison as JSON-serialisable values."""
        return {**asdict(self), "difference": self.difference}


def compare(champion: Sequence[float], challenger: Sequence[float], *, seed: int = 0) -> Comparison:
    """Compare two versions by their Dice on the same images.

    The comparison is paired: only differences count, so images that are equally hard for both have no effect.

    Args:
        champion, challenger: (n,) Dice in [0, 1], one per image, in the same order.
        seed: of the bootstrap.

    Raises:
        ValueError: the sequences differ in length.
    """
    if len(champion) != len(challenger):
        raise ValueError(
            f"{len(champion)} champion scores cannot be paired with {len(challenger)} challenger scores; "
            "evaluate both on the same images."
        )
    n = len(champion)
    if n == 0:
        return Comparison(0, 0.0, 0.0, -1.0, 1.0)
    differences = np.subtract(challenger, champion, dtype=np.float64)
    drawn = np.random.default_rng(seed).integers(n, size=(RESAMPLES, n))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(differences[drawn].mean(axis=1), (tail, 1 - tail))
    return Comparison(n, float(np.mean(champion)), float(np.mean(challenger)), float(low), float(high))


def signed(difference: float) -> str:
    """A difference of Dice with its sign, such as "+0.012" or "−0.003"; "0.000" has none."""
    text = f"{abs(difference):.3f}"
    sign = "" if float(text) == 0 else "+" if difference > 0 else "−"
    return sign + text
