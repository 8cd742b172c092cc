"""One training step that never waits for its device, and the results of steps, which are read later.

A GPU works through its queue while the processor prepares the next step. Reading a number from it, such as
the loss, empties that queue, and the GPU is idle until it has been filled again. So whether a step counts is
decided on the device, and its loss is read while later steps are computed. On a processor there is no queue,
and the same code reads each loss at once.
"""

from __future__ import annotations

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from model.loss import DeepSupervisionLoss, LossWeights
from model.network import DeeplySupervisedUNet
from model.training.batches import Batch
from model.training.device import TrainingDevice
from model.training.optimisation import GuardedAdamW
from model.training.prompting import PromptBatch, answered, is_answered_first, prompt_loss
from model.training.ranks import ALONE, Ranks

GRADIENT_NORM = 1.0
"""Gradients are clipped to this norm, so that one unusual batch cannot spoil a small network."""


class Stepper:
    """Changes a network's weights, one batch at a time.

    A step whose loss or gradient is not finite changes neither weights nor moments nor batch-norm statistics.

    Args:
        network: on `device`; it is changed.
        loss: weights of the classifiers.
        optimiser: of the network's parameters, whose gradients exist.
        device: where and in which precision to compute.
        seed: of dropout.
        ranks: the processes that share each batch; each has one of these.
    """

    def __init__(
        self,
        network: DeeplySupervisedUNet,
        loss: LossWeights,
        optimiser: GuardedAdamW,
        device: TrainingDevice,
        seed: int,
        ranks: Ranks = ALONE,
    ) -> None:
        self._network, self._optimiser = network, optimiser
        self._criterion = DeepSupervisionLoss(loss, ranks.total)
        self._device, self._seed, self._ranks = device, seed, ranks
        layers = network.prompts
        self._of_layers = [] if layers is None else [one for one in layers.parameters() if one.requires_grad]
        own = {id(one) for one in self._of_layers}
        self._of_masks = [one for one in network.parameters() if one.requires_grad and id(one) not in own]
        reads_all = min(loss.lower, loss.middle, loss.final) > 0
        self._forward = ranks.prepare(network, device, whole=reads_all and not self._of_layers)

    def learn(self, batch: Batch, rate: float, step: int) -> LateLoss:
        """Take one step; its loss, without that of prompts, is NaN if the step was skipped.

        Args:
            batch: on the device.
            rate: learning rate.
            step: number of the step, from 0; decides what dropout drops.
        """
        for group in self._optimiser.param_groups:
            group["lr"] = rate
        statistics = Statistics(self._network)
        self._network.train()
        self._optimiser.zero_grad(set_to_none=False)
        drops = self._network.settings.dropout > 0
        # What one process would drop from a batch cannot be told by its shares; each share has its own draws.
        draws = self._device.random_state(self._seed, step, self._ranks.rank) if drops else nullcontext()
        with draws, self._device.autocast():
            heads = self._forward(self._device.images(batch.images))
            loss = self._criterion(heads, batch.targets, batch.weights)
        self._ranks.backward(loss)
        norm = nn.utils.clip_grad_norm_(self._of_masks, GRADIENT_NORM)
        counts = loss.detach().isfinite() & norm.isfinite()
        if batch.prompted is not None:
            # After the masks' gradients, which free the features that they were computed from.
            with self._device.autocast():
                prompted = self._of_prompts(batch.prompted, step)
            counts &= self._learn_prompts(prompted)
        self._optimiser.step_if(counts)
        statistics.restore_unless(counts)
        return LateLoss(loss.detach().where(counts, torch.nan))

    def _learn_prompts(self, loss: Tensor) -> Tensor:
        """Give the layers for prompts the gradients of a loss of prompts; whether these are finite.

        Encoder and decoder learn from masks alone. When prompts asked something of them too, masks were
        learned more slowly: benchmarks/README.md has the figures.
        """
        for mine, gradient in zip(self._of_layers, torch.autograd.grad(loss, self._of_layers), strict=True):
            mine.grad = self._ranks.mean(gradient)
        norm: Tensor = nn.utils.clip_grad_norm_(self._of_layers, GRADIENT_NORM)
        return norm.isfinite()

    def _of_prompts(self, episodes: PromptBatch, step: int) -> Tensor:
        """The loss of episodes, half of which the network answers first."""
        if is_answered_first(self._seed, step):
            episodes = answered(episodes, self._network, self._seed, step)
        return prompt_loss(self._network.prompted(episodes.images, episodes.maps), episodes.targets)


class Statistics:
    """The buffers of a network as they are now: the statistics of its batch norms.

    They are copied together, since copying dozens of small tensors one by one takes a GPU longer than some of
    its layers.
    """

    def __init__(self, network: nn.Module) -> None:
        self._buffers: dict[torch.dtype, list[Tensor]] = {}
        for buffer in network.buffers():
            self._buffers.setdefault(buffer.dtype, []).append(buffer)
        self._before = {dtype: _joined(buffers) for dtype, buffers in self._buffers.items()}

    @torch.no_grad()
    def restore_unless(self, counts: Tensor) -> None:
        """Put the former values back if the tensor `counts` (a boolean on the device) is false."""
        for dtype, buffers in self._buffers.items():
            kept = _joined(buffers).where(counts, self._before[dtype])
            parts = kept.split([buffer.numel() for buffer in buffers])
            torch._foreach_copy_(
                buffers, [part.view_as(buffer) for part, buffer in zip(parts, buffers, strict=True)]
            )


def _joined(tensors: list[Tensor]) -> Tensor:
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


class LateLoss:
    """A loss that a device is still computing, on its way to the processor."""

    def __init__(self, loss: Tensor) -> None:
        self._arrived: torch.cuda.Event | None = None
        self._value = loss
        if loss.is_cuda:
            self._value = torch.empty((), dtype=loss.dtype, pin_memory=True)
            self._value.copy_(loss, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record(torch.cuda.current_stream(loss.device))

    def read(self) -> float:
        """The loss; waits until it has arrived."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return float(self._value)
