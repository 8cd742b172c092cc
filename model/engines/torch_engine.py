"""The default engine: torch, with everything that makes it fast and changes nothing."""

from __future__ import annotations

import threading

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.engines.decoder_rewrite import RewrittenUNet, pooled
from model.engines.dropout_passes import mutual_information
from model.engines.fusion import can_fuse, fuse
from model.engines.hardware import cpu_computes_bf16, keep_freed_memory
from model.engines.interface import NO_DROPOUT, EngineError, Output, Precision, padded, unit_length
from model.network import DeeplySupervisedUNet

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


class TorchEngine:
    """Runs the rewritten network (see `decoder_rewrite`) channels last, on a processor or with CUDA.

    On a processor the convolutions are fused where torch can (see `fusion`), and the process keeps
    freed memory (see `model.engines.hardware`). One forward runs at a time: two at once would share the same
    cores and need twice the memory.

    Args:
        network: the trained network, on the CPU; it is left as it is.
        device: "cpu", "cuda", "cuda:1", …
        precision: "fp32", "bf16", or "auto": bf16 where the processor multiplies it natively; with
            CUDA bf16, or fp16 where the device has no bf16.
        threads: torch's threads on the processor, a setting of the whole process; None leaves it.

    Raises:
        EngineError: if the device is not there.
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
        self._device = _device(device)
        self.device: str = self._device.type
        self.precision = _precision(self._device, precision)
        self._dtype = DTYPES[self.precision]
        self._dropout = network.settings.dropout
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

    def run(self, x: NDArray[np.float32], passes: int = 0) -> Output:
        """See `model.engines.interface.Engine.run`."""
        if passes and not self._dropout:
            raise EngineError(NO_DROPOUT)
        _, height, width = x.shape
        image = torch.from_numpy(padded(x, self._stride))[None].to(self._device, self._dtype)
        network, information = self._network, None
        with self._lock, torch.inference_mode():
            skips = network.encode(image)
            probabilities: Tensor = network.classify(network.decode(skips)).cpu()
            features = pooled(skips[-1]).cpu()
            if passes:
                information = mutual_information(network, skips, self._dropout, passes).cpu()
        return Output(
            probabilities.numpy()[:, :, :height, :width],
            unit_length(features.numpy()),
            None if information is None else information.numpy()[:height, :width],
        )


def _device(name: str) -> torch.device:
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise EngineError(f"{name!r} is no device; use auto, cpu or cuda.") from error
    if device.type not in ("cpu", "cuda"):
        raise EngineError(f"The device {name!r} is not supported; use auto, cpu or cuda.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise EngineError(f"The device {name!r} is not there; use cpu, or install torch for CUDA.")
    return device


def _precision(device: torch.device, wanted: Precision) -> str:
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if cpu_computes_bf16() else "fp32"
