"""Majority vote and agreement of several annotators' masks of one image."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from model.loss import IGNORE_INDEX
from model.metrics import mean_dice


def majority(masks: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Per-pixel majority vote; pixels where classes tie become 255 (unknown).

    Background votes like any other class, and a mask's own 255 does not vote. Unknown pixels do not count in
    the training loss or in validation, so for two annotators only the pixels on which both agree remain.

    Args:
        masks: at least one label map, all of the same size (H, W).

    Returns:
        A label map (H, W).

    Raises:
        ValueError: there is no mask, or the sizes differ.
    """
    _check(masks, least=1)
    winner = np.full(masks[0].shape, IGNORE_INDEX, np.uint8)
    most = np.zeros(masks[0].shape, np.uint16)
    for index in sorted(set().union(*(np.unique(mask).tolist() for mask in masks)) - {IGNORE_INDEX}):
        votes = np.zeros_like(most)
        for mask in masks:
            votes += mask == index
        winner[(votes == most) & (votes > 0)] = IGNORE_INDEX
        winner[votes > most] = index
        np.maximum(most, votes, out=most)
    return winner


def agreement(masks: Sequence[NDArray[np.uint8]], labels: int) -> float:
    """Agreement of the annotators of one image, in [0, 1]: mean `mean_dice` over all pairs of masks.

        A = 2 / (n (n − 1)) · Σ_{i<j} 1 / |L_ij| · Σ_{l ∈ L_ij} 2 |M_i^l ∩ M_j^l| / (|M_i^l| + |M_j^l|)

    M_i^l is the region of label l in the mask of annotator i, and L_ij is the set of labels that occur in
    mask i or j. Two empty masks have agreement 1.

    Args:
        masks: one label map (H, W) for each annotator, at least two, all of the same size.
        labels: number of labels, the largest class index.

    Raises:
        ValueError: there are fewer than two masks, or the sizes differ.
    """
    _check(masks, least=2)
    return float(np.mean([mean_dice(one, other, labels) for one, other in combinations(masks, 2)]))


def _check(masks: Sequence[NDArray[np.uint8]], *, least: int) -> None:
    if len(masks) < least:
        raise ValueError(f"Got {len(masks)} masks; give at least {least}.")
    sizes = {mask.shape for mask in masks}
    if len(sizes) > 1:
        raise ValueError(f"Masks of one image must have the same size, but have {sorted(sizes)}.")
