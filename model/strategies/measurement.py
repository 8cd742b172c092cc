"""What is known of one unlabelled image under one version, and all that a strategy may ask."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from model.consistency import Consistency


@dataclass(frozen=True, eq=False)
class Measurement:
    """One image under one version.

    Attributes:
        key: the image's name, distinct within a pool; what is drawn by lot hangs on it and on a seed, so the
            order of a pool never matters.
        consistency: agreement of the three masks.
        entropy: predictive entropy of the final classifier, mean over the image, in [0, 1]: 1 where every
            class is equally probable everywhere.
        boundary_entropy: the same over a band around the final mask's boundary; if there is none, over the
            image.
        features: (D,) of unit length, pooled from the network's bottleneck (see `model.engines.base.Output`).
        mutual_information: between prediction and weights under MC-dropout, mean over the image, in [0, 1];
            None unless passes were asked for.
    """

    key: str
    consistency: Consistency
    entropy: float
    boundary_entropy: float
    features: NDArray[np.float32] = field(repr=False)
    mutual_information: float | None = None

    @property
    def confidence(self) -> float:
        """How sure the network seems of its mask, in [0, 1]: the mean of the consistency score and of how
        certain the final classifier is along the mask's boundary (1 − boundary entropy).

        It follows R-DSC more closely than the score alone, see docs/science.md; `model.quality` says how.
        """
        return (self.consistency.score + 1 - self.boundary_entropy) / 2
