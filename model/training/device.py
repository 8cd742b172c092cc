"""The device and the precision of a training."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from model.engines import EngineError, Precision
from model.engines.hardware import cpu_computes_bf16, find_device
from model.freed_memory import keep_freed_memory
from model.training.settings import TrainingError

LAG = {"cpu": 0, "cuda": 2}
"""Steps, by type of device, that are begun before the loss of an earlier one is read.

Two are enough for a GPU to have a whole step in its queue; more would only make progress reports later.
"""


@dataclass(frozen=True)
class TrainingDevice:
    """The device of a training and its precision.

    Attributes:
        device: a CPU or CUDA device.
        bf16: whether forward passes compute in bfloat16; weights are always fp32.
    """

    device: torch.device
    bf16: bool

    @classmethod
    def find(cls, name: str, precision: Precision) -> TrainingDevice:
        """Find a device by name.

        On a CPU, the process keeps freed memory from here on (`model.freed_memory`), which makes a step
        an eighth faster.

        Args:
            name: "cpu", "cuda", "cuda:1", …, or "auto": CUDA if available, else the CPU.
            precision: "fp32", "bf16", or "auto": bf16 if the device computes it natively.

        Raises:
            TrainingError: the name is not a supported device, or the device is not available.
        """
        try:
            device = find_device(name)
        except EngineError as error:
            raise TrainingError(str(error)) from error
        if device.type == "cpu":
            keep_freed_memory()
        if precision != "auto":
            return cls(device, precision == "bf16")
        native = cpu_computes_bf16() if device.type == "cpu" else torch.cuda.is_bf16_supported()
        return cls(device, bool(native))

    def autocast(self) -> torch.autocast:
        """The context for forward passes of the network."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)

    @contextmanager
    def random_state(self, seed: int, step: int, rank: int = 0) -> Iterator[None]:
        """The context for dropout: random draws depend only on seed, step and rank, so that a run can resume.

        The state of torch's generators is restored at the end. Costs more than a small layer, so only for
        networks that draw.
        """
        # Rank 0 has the seed of earlier releases, so that their runs can be repeated.
        number = int(np.random.SeedSequence((seed, step, rank)[: 3 if rank else 2]).generate_state(1)[0])
        with torch.random.fork_rng(devices=[self.device] if self.device.type == "cuda" else []):
            torch.default_generator.manual_seed(number)
            if self.device.type == "cuda":
                with torch.cuda.device(self.device):
                    torch.cuda.manual_seed(number)
            yield

    @property
    def lag(self) -> int:
        """Steps that are begun before the loss of an earlier one is read."""
        return LAG[self.device.type]

    def moved(self, tensor: Tensor) -> Tensor:
        """A tensor of the processor on the device; the processor does not wait for the copy."""
        if self.device.type == "cpu":
            return tensor
        return tensor.pin_memory().to(self.device, non_blocking=True)

    def images(self, images: Tensor) -> Tensor:
        """Move a batch (N, 1, h, w) to the device, in channels-last memory format."""
        return images.to(self.device, memory_format=torch.channels_last)


CPU = TrainingDevice(torch.device("cpu"), bf16=False)
"""The processor, in fp32."""
