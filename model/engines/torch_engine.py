"""The default engine: torch, with batch norm folded away."""

from __future__ import annotations

import threading

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.network import DeeplySupervisedUNet


class TorchEngine:
    """Runs the network with torch."""

    name = "torch"

    def __init__(self, network: DeeplySupervisedUNet) -> None:
        self.precision = "fp32"
        self._network = network.eval()
        self._lock = threading.Lock()

    def probabilities(self, x: NDArray[np.float32]) -> NDArray[np.float32]:
        """See `model.engines.base.Engine.probabilities`."""
        with self._lock, torch.inference_mode():
            heads = self._network(torch.from_numpy(x)[None])
            stacked: Tensor = torch.softmax(torch.cat(heads), dim=1)
        return stacked.numpy()
