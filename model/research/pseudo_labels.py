"""Pseudo-labels: masks of the network's own that join a training, as nobody has drawn them yet.

The second half of Zhao et al. 2021 (DSAL): where the classifiers agree, the final mask is taken for true.
What a network believes already teaches it little, and what it believes wrongly it learns for good; therefore
they count less than labels do, and only where they are asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from model.consistency import Consistency
from model.training.dataset import Example

TRUST = 0.3
"""How much a pseudo-label's pixels count in training against an annotator's."""


def most_consistent(agreements: Sequence[Consistency], count: int) -> list[int]:
    """Indices of the `count` images whose masks agree most, best first; never of blank ones."""
    drawn = [index for index, agreement in enumerate(agreements) if not agreement.blank]
    return sorted(drawn, key=lambda index: -agreements[index].score)[: max(count, 0)]


def pseudo_labelled(example: Example, mask: NDArray[np.uint8]) -> Example:
    """The example with the network's own final label map (h, w) on its canvas, of little trust."""
    return replace(example, mask=mask, trust=TRUST)
