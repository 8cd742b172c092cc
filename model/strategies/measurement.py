"""Everything a strategy may know about an unlabelled image."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from model.consistency import Consistency


@dataclass(frozen=True, eq=False)
class Measurement:
    """Measurements of one image under one version.

    Attributes:
        key: name of the image, unique within a pool. Random draws depend only on the key and a seed, so the
            order of a pool never matters.
        consistency: agreement of the three masks.
        entropy: predictive entropy of the final classifier, mean over the image, in [0, 1]: 1 if all classes
            are equally probable everywhere.
        boundary_entropy: the same over a band around the boundary of the final mask; over the whole image if
            the mask has no boundary.
        features: (D,) of unit length, pooled from the network's bottleneck
            (`model.engines.interface.Output`).
        probed: mean over the image of what the strategy's probe computed (`Strategy.probe`), if it has one.
    """

    key: str
    consistency: Consistency
    entropy: float
    boundary_entropy: float
    features: NDArray[np.float32] = field(repr=False)
    probed: float | None = None

    @property
    def confidence(self) -> float:
        """The network's confidence in its mask, in [0, 1]: mean of the consistency score and of the certainty
        along the mask's boundary (1 − boundary entropy).

        It correlates with R-DSC more closely than the score alone (docs/science.md); `model.quality` turns it
        into an estimate of R-DSC.
        """
        return (self.consistency.score + 1 - self.boundary_entropy) / 2
