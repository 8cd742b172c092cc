"""Where a training computes, and in which numbers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.engines import Precision
from model.engines.hardware import cpu_computes_bf16, keep_freed_memory
from model.training.settings import TrainingError


@dataclass(frozen=True)
class TrainingDevice:
    """A processor or a CUDA device, and whether forwards compute in bfloat16 there (weights stay fp32)."""

    device: torch.device
    bf16: bool

    @classmethod
    def find(cls, name: str, precision: Precision) -> TrainingDevice:
        """The device of a name ("auto" is CUDA when there); "auto" precision is bf16 where it is native.

        On a processor the process keeps freed memory from here on (`model.engines.hardware`): a step is an
        eighth faster.

        Raises:
            TrainingError: the device is not here.
        """
        if name == "auto":
            name = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            device = torch.device(name)
        except RuntimeError as error:
            raise TrainingError(f'"{name}" is no device; use "auto", "cpu" or "cuda".') from error
        if device.type not in ("cpu", "cuda"):
            raise TrainingError(f'Training on "{name}" is not supported; use "auto", "cpu" or "cuda".')
        if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
            raise TrainingError(f'The device "{name}" is not here; use "auto" or "cpu".')
        if device.type == "cpu":
            keep_freed_memory()
        if precision != "auto":
            return cls(device, precision == "bf16")
        native = cpu_computes_bf16() if device.type == "cpu" else torch.cuda.is_bf16_supported()
        return cls(device, bool(native))

    def autocast(self) -> torch.autocast:
        """The context in which the network's forward runs."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)

    @contextmanager
    def lots(self, seed: int, step: int) -> Iterator[None]:
        """The context in which dropout draws what hangs on seed and step alone, so that a run can resume.

        torch's own generators come out of it as they went in.
        """
        devices = range(torch.cuda.device_count()) if self.device.type == "cuda" else ()
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(int(np.random.SeedSequence((seed, step)).generate_state(1)[0]))
            yield

    def images(self, images: Tensor) -> Tensor:
        """A batch (N, 1, h, w) brought there, channels last."""
        return images.to(self.device, memory_format=torch.channels_last)
