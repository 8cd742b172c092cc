"""Everything that is measured of one image, from one forward pass."""

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


@dataclass(frozen=True, eq=False)
class Examination:
    """One image under one network; all masks were compared at original resolution.

    Attributes:
        measurement: what a strategy may know.
        r_dsc: Dice of the final mask with the truth.
        hd95: 95th percentile Hausdorff distance in pixels; NaN where it was not asked for.
        masks: (3, h, w) lower, middle and final label map, on the canvas.
    """

    measurement: Measurement
    r_dsc: float
    hd95: float
    masks: NDArray[np.uint8] = field(repr=False)


class Examiner:
    """Examines images with one network, in fp32, so that a seed's numbers are always the same.

    Args:
        network: in evaluation mode.
        device: "cpu", "cuda", …
        labels: foreground labels.
    """

    def __init__(self, network: DeeplySupervisedUNet, device: str, labels: int) -> None:
        self._engine = TorchEngine(network, device=device, precision="fp32")
        self._labels = labels

    def examine(
        self, image: LabelledImage, *, probe: Probe | None = None, distance: bool = False
    ) -> Examination:
        """One forward, and the strategy's probe.

        The surface `distance` is only computed when asked for: it takes longer than the forward.
        """
        output = self._engine.run(to_network(image.example.image), probe)
        found = Segmentation.of(output, image.frame, self._labels)
        return Examination(
            found.measurement(image.stem),
            mean_dice(found.final, image.truth, self._labels),
            hausdorff95(found.final, image.truth, self._labels) if distance else np.nan,
            np.stack([image.frame.forward_mask(mask) for mask in (found.lower, found.middle, found.final)]),
        )
