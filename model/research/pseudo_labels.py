"""Pseudo-labels: a training on the network's own masks of images that nobody has labelled yet.

The second half of Zhao et al. 2021 (DSAL): where the classifiers agree, the final mask is treated as true. A
network learns little from its own masks and consolidates its errors; therefore pseudo-labels weigh less than
labels and are off by default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from model.consistency import Consistency
from model.training.dataset import Example

WEIGHT = 0.3
"""Weight of a pseudo-label's pixels in the loss; an annotator's have 1."""


def most_consistent(agreements: Sequence[Consistency], count: int) -> list[int]:
    """Indices of the `count` images with the most consistent masks, best first, without blank masks."""
    drawn = [index for index, agreement in enumerate(agreements) if not agreement.blank]
    return sorted(drawn, key=lambda index: -agreements[index].score)[: max(count, 0)]


def pseudo_labelled(example: Example, mask: NDArray[np.uint8]) -> Example:
    """The example with the network's own final label map (h, w) on its canvas, and `WEIGHT`."""
    return replace(example, mask=mask, weight=WEIGHT)
