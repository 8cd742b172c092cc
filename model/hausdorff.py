"""How far outlines are apart: the Hausdorff distance of MONAI, with its empty masks settled."""

from __future__ import annotations

import math
import warnings

import numpy as np
import torch
from monai.metrics import compute_hausdorff_distance
from numpy.typing import NDArray

PERCENTILE = 95.0


def hausdorff95(prediction: NDArray[np.uint8], truth: NDArray[np.uint8], labels: int) -> float:
    """95th percentile of the symmetric surface distance in pixels, mean over the labels that occur.

    Both are label maps (H, W) of one size. A label that only one of them holds is as far away as anything
    can be, the image's diagonal, so that a blank mask is not left out of a mean; where neither holds any
    label the distance is 0.
    """
    distances = []
    for index in range(1, labels + 1):
        predicted, true = prediction == index, truth == index
        if predicted.any() and true.any():
            distances.append(_distance(predicted, true))
        elif predicted.any() or true.any():
            distances.append(math.hypot(*truth.shape))
    return float(np.mean(distances)) if distances else 0.0


def _distance(predicted: NDArray[np.bool_], true: NDArray[np.bool_]) -> float:
    first, second = (torch.from_numpy(mask)[None, None] for mask in (predicted, true))
    with warnings.catch_warnings():
        # MONAI calls one of its own functions in a way that it calls deprecated.
        warnings.simplefilter("ignore", FutureWarning)
        return float(compute_hausdorff_distance(first, second, True, percentile=PERCENTILE))
