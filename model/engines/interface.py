"""What every engine is: a canvas in, probabilities of the three classifiers and features out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

EngineName = Literal["auto", "torch", "openvino"]
Precision = Literal["auto", "fp32", "bf16"]


class EngineError(RuntimeError):
    """An engine, device or precision that is not to be had here; one sentence that says what to do."""


NO_DROPOUT = (
    "This version's network was trained without dropout, so passes of MC-dropout would all be equal; "
    "train one with dropout, or choose another query strategy."
)


@dataclass(frozen=True, eq=False)
class Output:
    """What a forward gives for one canvas of h × w.

    Attributes:
        probabilities: (3, C, h, w) of the lower, middle and final classifier; they sum to 1 over C.
        features: (D,) of unit length: the maximum over the canvas of each of the D channels of the deepest
            encoder block. Beside their maxima means and higher moments were tried: none knew an image again
            as surely when it was turned, brightened and noisy.
        mutual_information: (h, w) in [0, 1], of the final classifier's prediction and the weights that
            dropout leaves (Houlsby et al. 2011, BALD), as a share of log C; None if no passes were asked for.
    """

    probabilities: NDArray[np.float32]
    features: NDArray[np.float32]
    mutual_information: NDArray[np.float32] | None = None


class Engine(Protocol):
    """One network, ready to run; threads may share it.

    Attributes:
        name: "torch" or "openvino".
        device: the type of device it computes on: "cpu" or "cuda".
        precision: what it computes in: "fp32", "bf16" or "fp16".
    """

    name: str
    device: str
    precision: str

    def run(self, x: NDArray[np.float32], passes: int = 0) -> Output:
        """Classify one canvas.

        Args:
            x: (1, h, w) as `model.imaging.preprocessing.to_network` scales it, of any size.
            passes: so many times the decoder is run again with feature maps dropped at random, always the
                same ones, whatever the image: differences between images are then not differences of luck.

        Raises:
            EngineError: if passes are asked of a network without dropout.
        """


def padded(x: NDArray[np.float32], stride: int) -> NDArray[np.float32]:
    """(1, h, w) with h and w raised to multiples of `stride` by repeating the right and bottom edge.

    The same padding as `DeeplySupervisedUNet.forward` uses.
    """
    _, height, width = x.shape
    return np.pad(x, ((0, 0), (0, -height % stride), (0, -width % stride)), mode="edge")


def unit_length(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """(D,) features brought to unit length; a network that is silent gets the same number everywhere."""
    wide = features.astype(np.float64) if features.any() else np.ones(len(features))
    result: NDArray[np.float32] = (wide / np.linalg.norm(wide)).astype(np.float32)
    return result
