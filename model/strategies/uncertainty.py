"""Strategies that score each image on its own, and the uncertainty of its class probabilities.

- `ConsistencyStrategy` (Zhao et al. 2020) and `Disagreement` read the same score from opposite ends.
- `Entropy` and `BoundaryEntropy` use the predictive entropy, over the image or along the mask's boundary.
- `McDropout` uses the mutual information between prediction and weights.
- `Aift` adds entropy and the diversity of predictions that should agree.

Except for `ConsistencyStrategy` the lowest score is labelled first: scores are confidences, one minus the
uncertainty.
"""

from __future__ import annotations

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from model.strategies.measurement import Measurement
from model.strategies.strategy import Strategy

BAND = 0.01
"""Half the width of the band around a boundary, as a share of the image's longer side: 6 pixels of 600."""
MIN_PROBABILITY = 1e-12
"""Smaller probabilities are raised to this: they add nothing to an entropy, but 0 has no logarithm."""


class ConsistencyStrategy(Strategy):
    """Images whose hidden classifiers agree most with the final one first; score: mean of L-DSC and M-DSC."""

    name = "consistency"
    source = "Zhao et al. 2020, equation 3, highest first"
    highest_first = True
    follows_score = True

    def _score(self, m: Measurement, seed: int) -> float:  # noqa: ARG002
        return m.consistency.score


class Disagreement(Strategy):
    """Images whose hidden classifiers agree least with the final one first; the score of the paper."""

    name = "disagreement"
    source = "Zhao et al. 2021 (DSAL, IEEE J-BHI): hard samples to the annotator; score of equation 3, 2020"
    follows_score = True

    def _score(self, m: Measurement, seed: int) -> float:  # noqa: ARG002
        return m.consistency.score


class Entropy(Strategy):
    """Images on which the final classifier is least certain first; score: 1 − entropy."""

    name = "entropy"
    source = "entropy as in Settles 2009, section 3.1, mean over pixels; best overall in nnActive (TMLR 2025)"

    def _score(self, m: Measurement, seed: int) -> float:  # noqa: ARG002
        return 1 - m.entropy


class BoundaryEntropy(Strategy):
    """As `Entropy`, but only over pixels near the predicted boundary, so a large background has no effect."""

    name = "boundary-entropy"
    source = "entropy restricted to a band around the predicted boundary, as the errors of masks lie there"

    def _score(self, m: Measurement, seed: int) -> float:  # noqa: ARG002
        return 1 - m.boundary_entropy


class Aift(Strategy):
    """Images that are uncertain and whose predictions contradict each other first.

    The score is 1 − (E + D) / 2 with the boundary entropy E and the diversity D = 1 − consistency score.

    Zhou et al. (2017) sum, for each candidate, the entropies of the predictions for its augmented patches and
    the symmetric divergences between them. In this adaptation to segmentation with deep supervision, the
    three classifiers replace the patches and D replaces the divergence, so no further forward pass is needed.
    Entropy is taken along the boundary, because over a whole image it is so much smaller that D alone would
    decide.
    """

    name = "aift"
    source = "Zhou et al. 2017 (CVPR; reference 10 of Zhao et al. 2020), entropy and diversity, adapted"

    def _score(self, m: Measurement, seed: int) -> float:  # noqa: ARG002
        return 1 - (m.boundary_entropy + 1 - m.consistency.score) / 2


def entropy_map(probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
    """Normalised entropy of the class probabilities of each pixel.

    Args:
        probabilities: (C, h, w), summing to 1 over C.

    Returns:
        −Σ p log p / log C in [0, 1], (h, w): 0 if one class is certain, 1 if all are equally probable.
    """
    total = np.zeros(probabilities.shape[1:], np.float32)
    for channel in probabilities:
        plane = np.maximum(channel, np.float32(MIN_PROBABILITY))
        total -= plane * cv2.log(plane)
    total /= math.log(len(probabilities))
    return np.clip(total, 0, 1, out=total)


def boundary_band(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """The pixels (h, w) near a boundary between labels of a label map (h, w).

    Near means that a pixel of another label is at most `BAND` of the longer side, and at least one pixel,
    away in each direction.
    """
    side = 2 * max(1, round(BAND * max(labels.shape))) + 1
    kernel = np.ones((side, side), np.uint8)
    return np.asarray(cv2.dilate(labels, kernel) != cv2.erode(labels, kernel))
