"""Several people's masks of one image: what most of them drew, and how far they agree."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from model.loss import IGNORE_INDEX
from model.metrics import mean_dice


def majority(masks: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """The class that most masks give each pixel; where two classes have equally many votes, 255: unknown.

    Background is a class like any other. Nobody is preferred in a tie: the pixel costs nothing in training
    and is not compared in validation, so of two people's masks remains what both agree on. A mask's own 255
    is no vote.

    Args:
        masks: at least one label map, all of one size (H, W).

    Raises:
        ValueError: there is no mask, or their sizes differ.
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
    """How far people agree on an image, in [0, 1]: the mean over all pairs of masks of their `mean_dice`.

        A = 2 / (n (n − 1)) · Σ_{i<j} 1 / |L_ij| · Σ_{l ∈ L_ij} 2 |M_i^l ∩ M_j^l| / (|M_i^l| + |M_j^l|)

    M_i^l is what person i drew with label l, L_ij the labels that occur in the mask of i or of j. Two people
    who both drew nothing agree: 1.

    Args:
        masks: one label map (H, W) of each person, at least two, all of one size.
        labels: number of labels; class indices are at most this.

    Raises:
        ValueError: there are fewer than two masks, or their sizes differ.
    """
    _check(masks, least=2)
    return float(np.mean([mean_dice(one, other, labels) for one, other in combinations(masks, 2)]))


def _check(masks: Sequence[NDArray[np.uint8]], *, least: int) -> None:
    if len(masks) < least:
        raise ValueError(f"{len(masks)} masks are too few; give at least {least}.")
    sizes = {mask.shape for mask in masks}
    if len(sizes) > 1:
        raise ValueError(f"Masks of one image have one size, unlike {sorted(sizes)}.")
