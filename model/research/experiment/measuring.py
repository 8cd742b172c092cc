"""Evaluation of one image under one network: measurement, Dice, Hausdorff distance and masks."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from model.engines import Probe
from model.engines.torch_engine import TorchEngine
from model.imaging.preprocessing import to_network
from model.metrics import hausdorff95, mean_dice
from model.network import DeeplySupervisedUNet
from model.research.experiment.collection import LabelledImage
from model.segmenter import Segmentation
from model.strategies import Measurement


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
