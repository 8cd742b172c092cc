"""How good are masks? Dice against the truth, for one image and for a set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from model.consistency import dice
from model.loss import IGNORE_INDEX
from model.segmenter import Segmenter


@dataclass(frozen=True)
class Evaluation:
    """Real Dice (R-DSC) over a set of images, all values in [0, 1].

    Attributes:
        dsc: mean over images; 0.0 if there were none.
        per_image: `mean_dice` of each image, in the order given.
        per_label: mean over the images in whose prediction or truth the label occurs; a label that occurs
            nowhere is left out.
    """

    dsc: float
    per_image: list[float]
    per_label: dict[str, float]


def mean_dice(prediction: NDArray[np.uint8], truth: NDArray[np.uint8], labels: int) -> float:
    """Mean Dice over the labels 1…`labels` that occur in the prediction or the truth, in [0, 1].

    Both are label maps (H, W) of one size. Where the truth is 255 (unknown) nothing is compared. Nothing
    predicted where nothing is true is right: 1.0.
    """
    return _mean(dice_per_label(prediction, truth, labels).values(), empty=1.0)


def dice_per_label(prediction: NDArray[np.uint8], truth: NDArray[np.uint8], labels: int) -> dict[int, float]:
    """Dice of each class index that occurs in the prediction or the truth (H, W); truth 255 is skipped."""
    known = truth != IGNORE_INDEX
    if not known.all():
        prediction, truth = prediction[known], truth[known]
    result = {}
    for index in range(1, labels + 1):
        predicted, true = prediction == index, truth == index
        if predicted.any() or true.any():
            result[index] = dice(predicted, true)
    return result


def evaluate(
    segmenter: Segmenter, samples: Iterable[tuple[NDArray[np.uint8 | np.uint16], NDArray[np.uint8]]]
) -> Evaluation:
    """Segment each image (H, W) and compare with its label map (H, W), at original resolution.

    Samples are read one at a time, so a generator that loads files needs the memory of one image.
    """
    per_image: list[float] = []
    per_label: dict[str, list[float]] = {}
    for image, truth in samples:
        prediction = segmenter.segment([image])[0].final
        found = dice_per_label(prediction, truth, len(segmenter.labels))
        per_image.append(_mean(found.values(), empty=1.0))
        for index, value in found.items():
            per_label.setdefault(segmenter.labels[index - 1], []).append(value)
    return Evaluation(
        dsc=_mean(per_image, empty=0.0),
        per_image=per_image,
        per_label={name: _mean(per_label[name], empty=0.0) for name in segmenter.labels if name in per_label},
    )


def _mean(values: Iterable[float], *, empty: float) -> float:
    numbers = list(values)
    return float(np.mean(numbers)) if numbers else empty
