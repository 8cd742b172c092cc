"""The protocol of engines: a canvas in, probabilities of the three classifiers and features out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from model.engines.decoder_rewrite import RewrittenUNet

EngineName = Literal["auto", "torch", "openvino"]
Precision = Literal["auto", "fp32", "bf16"]


class EngineError(RuntimeError):
    """An engine, device or precision is not available; the message says in one sentence what to do."""


Probe = Callable[[RewrittenUNet, list[Tensor]], Tensor]
"""Computes one more map of an image: (the network, its encoder's features (1, channels, h, w), full
resolution first) → float32 (h, w) on the padded canvas."""

Draw = Callable[[Tensor], Tensor | None]
"""Draws the masks of an image on the device: float32 probabilities (3, C, h, w) of its canvas → label maps
(3, H, W) uint8 on the same device, or None if it cannot."""


@dataclass(frozen=True, eq=False)
class Output:
    """The result for one canvas of h × w.

    Attributes:
        probabilities: (3, C, h, w) of the lower, middle and final classifier; they sum to 1 over C.
        features: (D,) of unit length: the maximum over the canvas of each of the D channels of the deepest
            encoder block. Means and higher moments were tried as well: none recognised a rotated,
            brightened and noisy image as reliably.
        probed: (h, w), what the probe computed; None without one.
        masks: (3, H, W), what was drawn on the device; None if nothing was.
    """

    probabilities: NDArray[np.float32]
    features: NDArray[np.float32]
    probed: NDArray[np.float32] | None = None
    masks: NDArray[np.uint8] | None = None


class Engine(Protocol):
    """One network, ready to run; threads may share it.

    Attributes:
        name: "torch" or "openvino".
        device: type of the device: "cpu" or "cuda".
        precision: of the computation: "fp32", "bf16" or "fp16".
    """

    name: str
    device: str
    precision: str

    def run(self, x: NDArray[np.float32], probe: Probe | None = None) -> Output:
        """Classify one canvas.

        Args:
            x: (1, h, w) as `model.imaging.preprocessing.to_network` scales it, of any size.
            probe: computes one more map; torch runs it, whatever the engine.

        Raises:
            EngineError: the probe cannot be computed with this network.
        """

    def run_together(
        self,
        xs: Sequence[NDArray[np.float32]],
        probe: Probe | None = None,
        draws: Sequence[Draw] | None = None,
    ) -> list[Output]:
        """Classify canvases of one size, in one pass where the engine can.

        Args:
            xs: each as for `run`.
            probe: as for `run`; sees one image at a time.
            draws: one for each canvas. An engine may leave them out, and does on a processor.

        Raises:
            EngineError: the probe cannot be computed with this network.
        """


def padded(x: NDArray[np.float32], stride: int) -> NDArray[np.float32]:
    """(1, h, w) with h and w raised to multiples of `stride` by repeating the right and bottom edge.

    The same padding as `DeeplySupervisedUNet.forward` uses.
    """
    _, height, width = x.shape
    return np.pad(x, ((0, 0), (0, -height % stride), (0, -width % stride)), mode="edge")


def unit_length(features: NDArray[np.float32]) -> NDArray[np.float32]:
    """(D,) features scaled to unit length; all-zero features become equal ones."""
    wide = features.astype(np.float64) if features.any() else np.ones(len(features))
    result: NDArray[np.float32] = (wide / np.linalg.norm(wide)).astype(np.float32)
    return result
