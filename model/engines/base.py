"""What every engine is: a canvas in, the three classifiers' probabilities out."""

from __future__ import annotations

from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

EngineName = Literal["auto", "torch", "openvino"]
Precision = Literal["auto", "fp32", "bf16"]


class EngineError(RuntimeError):
    """An engine, device or precision that is not to be had here; one sentence that says what to do."""


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

    def probabilities(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """Classify one canvas.

        Args:
            x: (1, h, w) as `model.preprocessing.to_network` scales it, of any size.

        Returns:
            Probabilities (3, C, h, w) of the lower, middle and final classifier; they sum to 1 over C.
        """


def padded(x: NDArray[np.float32], stride: int) -> NDArray[np.float32]:
    """(1, h, w) with h and w raised to multiples of `stride` by repeating the right and bottom edge.

    The same padding as `DeeplySupervisedUNet.forward` uses.
    """
    _, height, width = x.shape
    return np.pad(x, ((0, 0), (0, -height % stride), (0, -width % stride)), mode="edge")
