"""The default engine: torch, with every optimisation that leaves results unchanged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from model.engines.decoder_rewrite import RewrittenUNet, pooled
from model.engines.fusion import can_fuse, fuse
from model.engines.hardware import find_device, find_precision
from model.engines.interface import Draw, Output, Precision, Probe, padded, unit_length
from model.freed_memory import keep_freed_memory
from model.network import DeeplySupervisedUNet

DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}

CUDA_STREAMS = 2


class TorchEngine:
    """Runs the rewritten network (see `decoder_rewrite`) channels last, on a processor or with CUDA.

    On a processor convolutions are fused if torch can (see `fusion`), and the process keeps freed memory (see
    `model.freed_memory`). One forward runs at a time: two at once would share the same cores and need
    twice the memory. With CUDA there are two, so that the device need not wait for copies.

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
        self._lanes: SimpleQueue[torch.cuda.Stream | None] = SimpleQueue()
        for _ in range(CUDA_STREAMS if self.device == "cuda" else 1):
            self._lanes.put(torch.cuda.Stream(self._device) if self.device == "cuda" else None)
        if self.device == "cuda":
            # The weights were sent on another stream than those that will read them.
            torch.cuda.synchronize(self._device)

    def run(self, x: NDArray[np.float32], probe: Probe | None = None) -> Output:
        """See `model.engines.interface.Engine.run`."""
        return self.run_together([x], probe)[0]

    def run_together(
        self,
        xs: Sequence[NDArray[np.float32]],
        probe: Probe | None = None,
        draws: Sequence[Draw] | None = None,
    ) -> list[Output]:
        """See `model.engines.interface.Engine.run_together`.

        With CUDA, arrays of the outputs lie in memory that the device can write to (pinned).
        """
        _, height, width = xs[0].shape
        images = torch.from_numpy(np.stack([padded(x, self._stride) for x in xs]))
        with self._lane(), torch.inference_mode():
            computed = self._compute(self._sent(images), probe, draws or [None] * len(xs))
        return [
            Output(
                one.probabilities.numpy()[:, :, :height, :width],
                unit_length(one.features.numpy()),
                None if one.probed is None else one.probed.numpy()[:height, :width],
                None if one.masks is None else one.masks.numpy(),
            )
            for one in computed
        ]

    def _compute(self, images: Tensor, probe: Probe | None, draws: Sequence[Draw | None]) -> list[_Computed]:
        """Results of images (N, 1, h, w), on their way back from the device until the lane is left."""
        network = self._network
        skips = network.encode(images)
        probabilities = network.classify(network.decode(skips)).unflatten(0, (3, len(images)))
        features = pooled(skips[-1])
        computed = []
        for index, draw in enumerate(draws):
            own = probabilities[:, index]
            probed = None if probe is None else probe(network, [skip[index : index + 1] for skip in skips])
            masks = None if draw is None else draw(own)
            computed.append(
                _Computed(
                    self._fetched(own),
                    self._fetched(features[index]),
                    None if probed is None else self._fetched(probed),
                    None if masks is None else self._fetched(masks),
                )
            )
        return computed

    @contextmanager
    def _lane(self) -> Iterator[None]:
        """Wait for the processor, or for a stream of the device; what is begun in the block ends with it.

        With two streams the device computes one group while the results of another travel.
        """
        stream = self._lanes.get()
        try:
            if stream is None:
                yield
            else:
                with torch.cuda.stream(stream):
                    yield
                stream.synchronize()
        finally:
            self._lanes.put(stream)

    def _sent(self, images: Tensor) -> Tensor:
        if self.device == "cuda":
            images = images.pin_memory()
        return images.to(self._device, non_blocking=True).to(self._dtype)

    def _fetched(self, part: Tensor) -> Tensor:
        # With CUDA this returns at once, and torch fills pinned memory later.
        return part.contiguous().to("cpu", non_blocking=True)


class _Computed(NamedTuple):
    """Tensors of one image on the processor."""

    probabilities: Tensor
    features: Tensor
    probed: Tensor | None
    masks: Tensor | None
