"""What a mask is drawn as where its form can only say roughly where it lies: boxes and ellipses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.regions.outlines import Component, components, worth_drawing

SMALLEST = 9
"""Least pixels of a part that gets a box or an ellipse."""
SMALLEST_SHARE = 0.01
"""Least pixels of such a part, as a share of the label's largest one."""


def parts(mask: NDArray[np.bool_]) -> list[Component]:
    """The components of a mask (H, W) that get one each; the largest one always does."""
    found = worth_drawing(components(mask))
    least = max(SMALLEST, SMALLEST_SHARE * found[0].area) if found else 0
    return found[:1] + [component for component in found[1:] if component.area >= least]
