"""Evaluation of one image under one network: measurement, Dice, Hausdorff distance and masks."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, field

import numpy as np
import torch
from monai.metrics import compute_hausdorff_distance
from numpy.typing import NDArray

from model.engines import Probe
from model.engines.torch_engine import TorchEngine
from model.imaging.preprocessing import to_network
from model.metrics import mean_dice
from model.network import DeeplySupervisedUNet
from model.research.experiment.collection import LabelledImage
from model.segmenter import Segmentation
from model.strategies import Measurement

PERCENTILE = 95.0
"""Percentile of the surface distances that `hausdorff95` returns."""


@dataclass(frozen=True, eq=False)
class ImageEvaluation:
    """Evaluation of one image under one network; masks were compared at original resolution.

    Attributes:
        measurement: the input of query strategies.
        r_dsc: mean Dice of the final mask and the truth, in [0, 1].
        hd95: `hausdorff95` of the final mask and the truth, in pixels; NaN if it was not requested.
        masks: (3, h, w) lower, middle and final label map, on the canvas.
    """

    measurement: Measurement
    r_dsc: float
    hd95: float
    masks: NDArray[np.uint8] = field(repr=False)


class ImageEvaluator:
    """Evaluates images with one network, in fp32, so that results are reproducible.

    Args:
        network: the network, in evaluation mode.
        device: "cpu", "cuda", "cuda:1", …
        labels: number of foreground labels.
    """

    def __init__(self, network: DeeplySupervisedUNet, device: str, labels: int) -> None:
        self._engine = TorchEngine(network, device=device, precision="fp32")
        self._labels = labels

    def evaluate(
        self, image: LabelledImage, *, probe: Probe | None = None, distance: bool = False
    ) -> ImageEvaluation:
        """Evaluate an image in one forward pass.

        Args:
            image: the image with its ground truth.
            probe: what the strategy computes beside the forward pass (`Strategy.probe`).
            distance: whether to compute the Hausdorff distance, which takes longer than the forward pass.
        """
        output = self._engine.run(to_network(image.example.image), probe)
        found = Segmentation.of(output, image.frame, self._labels)
        return ImageEvaluation(
            found.measurement(image.stem),
            mean_dice(found.final, image.truth, self._labels),
            hausdorff95(found.final, image.truth, self._labels) if distance else np.nan,
            np.stack([image.frame.forward_mask(mask) for mask in (found.lower, found.middle, found.final)]),
        )


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
    first, second = (torch.from_numpy(mask)[None, None] for mask in (predicted, true))
    with warnings.catch_warnings():
        # MONAI calls one of its own functions in a deprecated way.
        warnings.simplefilter("ignore", FutureWarning)
        return float(compute_hausdorff_distance(first, second, True, percentile=PERCENTILE))
