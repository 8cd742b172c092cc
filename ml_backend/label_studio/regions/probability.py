"""The probability that a region's pixels have its label, which the editor shows as the region's `score`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.regions.forms import DrawnLabel, Form

Probabilities = Callable[[int, NDArray[np.uint8]], Sequence[float]]
"""From (class index, numbers (H, W) of the label's parts, from 1) to the mean probability of each part."""

DIGITS = 4
"""Decimals that are stored; the editor shows two."""


def of_regions(
    probabilities: Probabilities | None, label: DrawnLabel, form: Form, values: Sequence[Mapping[str, Any]]
) -> list[float | None]:
    """The probability of each region that was written for a label, in [0, 1]; None if it is not known.

    Args:
        probabilities: of parts; None if nobody knows them.
        label: what was written.
        form: in which form.
        values: of the regions.
    """
    if probabilities is None or not values:
        return [None] * len(values)
    known = [round(float(one), DIGITS) for one in probabilities(label.index, label.parts.numbers)]
    places = range(len(values)) if form.is_pixelwise else [_part(label, form, value) for value in values]
    return [known[place] for place in places]


def _part(label: DrawnLabel, form: Form, value: Mapping[str, Any]) -> int:
    """Index of the part that a region covers most of: not every part has an outline, and outlines overlap."""
    numbers, highest = label.parts
    if highest == 1:
        return 0
    top, left, mask = form.read(value, (numbers.shape[0], numbers.shape[1]))
    covered = numbers[top : top + mask.shape[0], left : left + mask.shape[1]][mask]
    return int(np.bincount(covered, minlength=highest + 1)[1:].argmax())
