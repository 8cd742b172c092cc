"""Masks against the truth (Dice, R-DSC, Hausdorff distance) and against what was shown (added path)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from model.classes import Classes
from model.consistency import dice
from model.loss import IGNORE_INDEX
from model.quality import Calibration, calibrate
from model.segmenter import Segmenter

PERCENTILE = 95.0
"""Percentile of the surface distances that `hausdorff95` returns."""


@dataclass(frozen=True)
class Evaluation:
    """Dice against the ground truth (R-DSC) over a set of images; all values are in [0, 1].

    Attributes:
        labels: the labels that were compared.
        images: for each image, in the given order, the Dice of each label that occurs in its prediction or
            its truth.
        confidences: for each image the confidence in its mask (`Measurement.confidence`); None for a blank
            mask.
        occurrences: number of images whose truth contains each label.
    """

    labels: tuple[str, ...]
    images: list[dict[str, float]]
    confidences: list[float | None] = field(default_factory=list, repr=False)
    occurrences: dict[str, int] = field(default_factory=dict, repr=False)

    @property
    def dsc(self) -> float:
        """Mean over the images; 0.0 if there are none."""
        return _mean(self.per_image, empty=0.0)

    @property
    def per_image(self) -> list[float]:
        """`mean_dice` of each image, in the given order."""
        return self.over(self.labels)

    @property
    def per_label(self) -> dict[str, float]:
        """Mean over the images in which a label occurs; labels that occur in no image are left out."""
        values = {label: [found[label] for found in self.images if label in found] for label in self.labels}
        return {label: _mean(several, empty=0.0) for label, several in values.items() if several}

    def calibration(self) -> Calibration | None:
        """Calibration of R-DSC against confidence on the images with non-blank masks; None if too few."""
        known = [
            (confidence, dsc)
            for confidence, dsc in zip(self.confidences, self.per_image, strict=True)
            if confidence is not None
        ]
        return calibrate([confidence for confidence, _ in known], [dsc for _, dsc in known])

    def over(self, labels: Collection[str]) -> list[float]:
        """For each image the mean over those of `labels` that occur in it; 1.0 if none does."""
        return [
            _mean((value for label, value in found.items() if label in labels), empty=1.0)
            for found in self.images
        ]


def mean_dice(prediction: NDArray[np.uint8], truth: NDArray[np.uint8], labels: int) -> float:
    """Mean Dice over the labels 1…`labels` that occur in the prediction or the truth, in [0, 1].

    Both are label maps (H, W) of the same size. Pixels whose truth is 255 (unknown) are ignored. An empty
    prediction for an empty truth is correct: 1.0.
    """
    return _mean(dice_per_label(prediction, truth, labels).values(), empty=1.0)


def dice_per_label(prediction: NDArray[np.uint8], truth: NDArray[np.uint8], labels: int) -> dict[int, float]:
    """Dice in [0, 1] by class index, as in `mean_dice`; indices that occur in neither map are left out."""
    known = truth != IGNORE_INDEX
    if not known.all():
        prediction, truth = prediction[known], truth[known]
    result = {}
    for index in range(1, labels + 1):
        predicted, true = prediction == index, truth == index
        if predicted.any() or true.any():
            result[index] = dice(predicted, true)
    return result


def added_path_length(shown: NDArray[np.uint8], submitted: NDArray[np.uint8], classes: int) -> int:
    """Added path length (APL): pixels of the submitted outlines that had to be drawn, as they were not shown.

    For each label, the number of pixels on the boundary of its submitted mask that are not on the boundary of
    its shown mask, without tolerance; summed over the labels. A mask drawn from scratch costs its whole
    boundary, a mask that is only deleted nothing.

    Vaassen et al. (2020), "Evaluation of measures for assessing time-saving of automatic organ-at-risk
    segmentation in radiotherapy", Physics and Imaging in Radiation Oncology 13, 1–6, introduce it and find
    that it follows the time that a correction takes more closely than Dice or the Hausdorff distance does.

    The boundary of a mask is its part of `boundary_pixels`, so the edge of the image does not belong to it:
    nobody draws along it.

    Args:
        shown, submitted: label maps (H, W) of the same size; 0 is background. Values above `classes`, such as
            255 (unknown), are not measured.
        classes: number of labels; labels 1…`classes` are measured.

    Raises:
        ValueError: the sizes differ.
    """
    if shown.shape != submitted.shape:
        raise ValueError(f"Masks of different sizes cannot be compared: {shown.shape} and {submitted.shape}.")
    drawn, given = boundary_pixels(submitted), boundary_pixels(shown)
    return sum(
        int(np.count_nonzero(drawn & (submitted == index) & ~(given & (shown == index))))
        for index in range(1, classes + 1)
    )


def boundary_pixels(labels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """(H, W) where one of a pixel's four neighbours in the image has another label."""
    found = np.zeros(labels.shape, np.bool_)
    below, right = labels[1:] != labels[:-1], labels[:, 1:] != labels[:, :-1]
    found[1:] |= below
    found[:-1] |= below
    found[:, 1:] |= right
    found[:, :-1] |= right
    return found


def hausdorff95(prediction: NDArray[np.uint8], truth: NDArray[np.uint8], labels: int) -> float:
    """95th percentile Hausdorff distance (MONAI) in pixels, mean over the labels that occur in either map.

    Both are label maps (H, W) of the same size. For a label that occurs in only one of them the distance is
    the image's diagonal, the largest possible one, so that blank masks count in a mean. If no label occurs,
    the distance is 0.
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
    # Imported late: the service evaluates masks by Dice alone, and need not wait for MONAI.
    import torch
    from monai.metrics import compute_hausdorff_distance

    first, second = (torch.from_numpy(mask)[None, None] for mask in (predicted, true))
    with warnings.catch_warnings():
        # MONAI calls one of its own functions in a deprecated way.
        warnings.simplefilter("ignore", FutureWarning)
        return float(compute_hausdorff_distance(first, second, True, percentile=PERCENTILE))


def evaluate(
    segmenter: Segmenter,
    samples: Iterable[tuple[NDArray[np.uint8 | np.uint16], NDArray[np.uint8]]],
    classes: Classes | None = None,
    *,
    threshold: float | None = None,
) -> Evaluation:
    """Segment images and compare the masks with the ground truth, at original resolution.

    Samples are read one at a time, so a generator that loads files needs the memory of one image only.

    Args:
        segmenter: the segmenter to evaluate.
        samples: images (H, W) with their ground-truth label maps (H, W).
        classes: classes of the ground truth; None if they are the segmenter's own. Masks are translated by
            name, and predicted labels without a class in the ground truth become background.
        threshold: as in `Segmenter.segment`, which makes the masks.
    """
    classes = classes or Classes.of(segmenter.labels)
    images: list[dict[str, float]] = []
    confidences: list[float | None] = []
    occurrences = dict.fromkeys(classes.labels, 0)
    for image, truth in samples:
        segmentation = segmenter.segment([image], threshold=threshold)[0]
        prediction = classes.translate(segmentation.final, segmenter.labels)
        found = dice_per_label(prediction, truth, len(classes.labels))
        images.append({classes.labels[index - 1]: value for index, value in found.items()})
        for index in np.unique(truth[(truth > 0) & (truth != IGNORE_INDEX)]):
            occurrences[classes.labels[index - 1]] += 1
        blank = segmentation.consistency.blank
        confidences.append(None if blank else segmentation.measurement("").confidence)
    return Evaluation(classes.labels, images, confidences, occurrences)


def _mean(values: Iterable[float], *, empty: float) -> float:
    numbers = list(values)
    return float(np.mean(numbers)) if numbers else empty
