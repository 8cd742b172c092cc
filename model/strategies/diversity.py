"""What strategies compute on features: strata, covers and centres."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from model.strategies.measurement import Measurement

ATTEMPTS = 5
ITERATIONS = 50
AT_ONCE = 256
"""Centres whose distances to all images are in memory together."""


def feature_matrix(pool: Sequence[Measurement]) -> NDArray[np.float32]:
    """(N, D), a row for each image."""
    return np.stack([m.features for m in pool]).astype(np.float32)


def clusters(features: NDArray[np.float32], count: int, seed: int) -> list[int]:
    """The k-means cluster of each of (N, D) features, at most `count` of them; best of some starts.

    Starts are k-means++'s (Arthur & Vassilvitskii 2007), drawn by `seed`.
    """
    count = min(count, len(features))
    if count < 2:
        return [0] * len(features)
    cv2.setRNGSeed(seed % 2**31)
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, ITERATIONS, 1e-6)
    _, labels, _ = cv2.kmeans(features, count, None, criteria, ATTEMPTS, cv2.KMEANS_PP_CENTERS)  # type: ignore[call-overload]
    return [int(label) for label in labels.ravel()]


def in_turn(ranking: Sequence[int], strata: Sequence[Hashable]) -> list[int]:
    """The first of each stratum, then the second of each, and so on; strata take turns as `ranking` has them.

    Args:
        ranking: every index once, the best first.
        strata: of each index.
    """
    seen: Counter[Hashable] = Counter()
    turns: list[tuple[int, int, int]] = []
    for place, index in enumerate(ranking):
        turns.append((seen[strata[index]], place, index))
        seen[strata[index]] += 1
    return [index for _, _, index in sorted(turns)]


def farthest_first(
    features: NDArray[np.float32], centres: Sequence[NDArray[np.float32]], size: int
) -> list[int]:
    """Greedy k-centre (Sener & Savarese 2018, algorithm 1): each choice is farthest from all before it.

    Args:
        features: (N, D).
        centres: (D,) each, what is there already; if nothing is, the image nearest to the mean comes first,
            as a random one may be an oddity.
        size: at most N.
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
        # Duplicates lie at distance 0 as well, and what is chosen must not be chosen again.
        distances[chosen] = -np.inf
    return chosen


def best_cover(features: NDArray[np.float32], candidates: Sequence[int], size: int) -> list[int]:
    """Greedy maximum set cover (Yang et al. 2017) among `candidates`, of all images.

    Each choice raises most the sum, over all images, of the cosine similarity to the chosen one that is most
    similar.

    Args:
        features: (N, D) of unit length.
        candidates: indices; earlier ones win ties.
        size: at most the number of candidates.
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
    """(N,) squared distances of (N, D) images to the nearest of (M, D) centres."""
    nearest = np.full(len(images), np.inf)
    lengths = (images**2).sum(axis=1)
    for start in range(0, len(centres), AT_ONCE):
        some = centres[start : start + AT_ONCE]
        squared = (some**2).sum(axis=1) - 2 * images @ some.T
        nearest = np.minimum(nearest, lengths + squared.min(axis=1))
    return nearest.clip(min=0)
