"""Computations on features that strategies share: clusters, greedy centres and greedy cover."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from model.strategies.measurement import Measurement

ATTEMPTS = 5
"""Random starts of k-means; the best result is kept."""
ITERATIONS = 50
"""Most iterations of each start."""
CENTRES_AT_ONCE = 256
"""Number of centres whose distances to all images are in memory at the same time."""


def feature_matrix(pool: Sequence[Measurement]) -> NDArray[np.float32]:
    """The features of a non-empty pool, (N, D), one row per image."""
    return np.stack([m.features for m in pool]).astype(np.float32)


def clusters(features: NDArray[np.float32], count: int, seed: int) -> list[int]:
    """K-means cluster of each row of the features (N, D), numbered from 0; at most `count` clusters.

    The best of `ATTEMPTS` runs from k-means++ starts (Arthur & Vassilvitskii 2007), seeded with `seed`.
    """
    count = min(count, len(features))
    if count < 2:
        return [0] * len(features)
    cv2.setRNGSeed(seed % 2**31)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, ITERATIONS, 1e-6)
    _, labels, _ = cv2.kmeans(features, count, None, criteria, ATTEMPTS, cv2.KMEANS_PP_CENTERS)  # type: ignore[call-overload]
    return [int(label) for label in labels.ravel()]


def round_robin(ranking: Sequence[int], strata: Sequence[Hashable]) -> list[int]:
    """The best index of each stratum, then the second best of each, and so on.

    Args:
        ranking: every index of `strata` once, the best first; within a turn, strata follow in this order.
        strata: stratum of each index.
    """
    seen: Counter[Hashable] = Counter()
    turns: list[tuple[int, int, int]] = []
    for rank, index in enumerate(ranking):
        turns.append((seen[strata[index]], rank, index))
        seen[strata[index]] += 1
    return [index for _, _, index in sorted(turns)]


def farthest_first(
    features: NDArray[np.float32], centres: Sequence[NDArray[np.float32]], size: int
) -> list[int]:
    """Greedy k-centre (Sener & Savarese 2018, algorithm 1): each choice is farthest from all centres so far.

    Args:
        features: (N, D).
        centres: the existing centres, (D,) each. Without any, the image nearest to the mean comes first, as a
            random one may be an outlier.
        size: number of images to choose, at most N.

    Returns:
        `size` distinct indices of `features`, in the order in which they were chosen.
    """
    images = features.astype(np.float64)
    if len(centres):
        distances = _nearest(images, np.stack(list(centres)).astype(np.float64))
    else:
        distances = -_nearest(images, images.mean(axis=0, keepdims=True))
    chosen: list[int] = []
    for _ in range(size):
        index = int(distances.argmax())
        nearest = _nearest(images, images[[index]])
        distances = np.minimum(distances, nearest) if chosen or len(centres) else nearest
        chosen.append(index)
        # Duplicates of a centre have distance 0 too, so a distance of 0 would not exclude chosen images.
        distances[chosen] = -np.inf
    return chosen


def best_cover(features: NDArray[np.float32], candidates: Sequence[int], size: int) -> list[int]:
    """Greedy maximum set cover (Yang et al. 2017): the candidates that best represent all images.

    The representativeness of a set S is Σ_i max_{j ∈ S} cos(i, j) over all images i; each choice increases it
    most.

    Args:
        features: (N, D) of unit length.
        candidates: indices of `features` to choose from; earlier ones win ties.
        size: number of images to choose, at most the number of candidates.

    Returns:
        `size` distinct candidates, in the order in which they were chosen.
    """
    similarities = features[list(candidates)] @ features.T
    covered = np.full(len(features), -1.0, np.float32)
    left = list(range(len(candidates)))
    chosen: list[int] = []
    for _ in range(size):
        gains = np.maximum(similarities[left], covered).sum(axis=1, dtype=np.float64)
        best = left.pop(int(gains.argmax()))
        covered = np.maximum(covered, similarities[best])
        chosen.append(candidates[best])
    return chosen


def _nearest(images: NDArray[np.float64], centres: NDArray[np.float64]) -> NDArray[np.float64]:
    """Squared distances (N,) of images (N, D) to the nearest of the centres (M, D)."""
    nearest = np.full(len(images), np.inf)
    lengths = (images**2).sum(axis=1)
    for start in range(0, len(centres), CENTRES_AT_ONCE):
        some = centres[start : start + CENTRES_AT_ONCE]
        squared = (some**2).sum(axis=1) - 2 * images @ some.T
        nearest = np.minimum(nearest, lengths + squared.min(axis=1))
    return nearest.clip(min=0)
