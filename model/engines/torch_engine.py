"""The default engine: torch, with every optimisation that leaves results unchanged."""

from __future__ import annotations

import threading

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.engines.decoder_rewrite import RewrittenUNet, pooled
from model.engines.fusion import can_fuse, fuse
from model.engines.hardware import find_device, find_precision, keep_freed_memory
from model.engines.interface import Output, Precision, Probe, padded, unit_length
from model.network import DeeplySupervisedUNet

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TorchEngine:
    """Runs the rewritten network (see `decoder_rewrite`) channels last, on a processor or with CUDA.

    On a processor convolutions are fused if torch can (see `fusion`), and the process keeps freed memory (see
    `model.engines.hardware`). One forward runs at a time: two at once would share the same cores and need
    twice the memory.

    Args:
        network: the trained network, on the CPU; not changed.
        device: "cpu", "cuda", "cuda:1", …, or "auto".
        precision: "fp32", "bf16", or "auto": bf16 where the processor multiplies it natively; with
            CUDA bf16, or fp16 where the device has no bf16.
        threads: torch's threads on the processor, for the whole process; None leaves their number unchanged.

    Raises:
        EngineError: if the device is not available.
    """

    name = "torch"

    def __init__(
        self,
        network: DeeplySupervisedUNet,
        *,
        device: str = "cpu",
        precision: Precision = "auto",
        threads: int | None = None,
    ) -> None:
        self._device = find_device(device)
        self.device: str = self._device.type
        self.precision = find_precision(self._device, precision)
        self._dtype = DTYPES[self.precision]
        rewritten = RewrittenUNet(network)
        self._stride = rewritten.stride
        rewritten.to(self._device, self._dtype)
        self._network = rewritten.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        if self._device.type == "cpu":
            keep_freed_memory()
            if threads is not None:
                torch.set_num_threads(threads)
            if can_fuse(self._dtype):
                fuse(self._network)
        self._lock = threading.Lock()

    def run(self, x: NDArray[np.float32], probe: Probe | None = None) -> Output:
        """See `model.engines.interface.Engine.run`."""
        _, height, width = x.shape
        image = torch.from_numpy(padded(x, self._stride))[None].to(self._device, self._dtype)
        network = self._network
        with self._lock, torch.inference_mode():
            skips = network.encode(image)
            probabilities: Tensor = network.classify(network.decode(skips)).cpu()
            features = pooled(skips[-1]).cpu()
            probed = None if probe is None else probe(network, skips).cpu()
        return Output(
            probabilities.numpy()[:, :, :height, :width],
            unit_length(features.numpy()),
            None if probed is None else probed.numpy()[:height, :width],
        )
