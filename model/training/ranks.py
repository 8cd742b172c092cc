"""Several processes that train one network together, as torchrun starts them: one for each GPU.

Each process, called a rank, computes its share of every batch. All of them take the same steps: sums that
the loss and batch norm need are taken over the whole batch, gradients are added up, and whatever depends on a
clock or on validation is decided by the first rank. So the training is that of one process with the same
batch.
"""

from __future__ import annotations

import atexit
import copy
import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed, nn

from model.network import DeeplySupervisedUNet
from model.training.device import TrainingDevice
from model.training.settings import TrainingError

Value = TypeVar("Value")


@dataclass(frozen=True)
class Ranks:
    """This process among those of its training.

    Attributes:
        rank: number of this process, from 0.
        count: number of processes; with one of them, all methods do nothing.
    """

    rank: int = 0
    count: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that validates, reports and writes."""
        return self.rank == 0

    def device(self, device: TrainingDevice) -> TrainingDevice:
        """The device of this rank: of several GPUs, the one that belongs to it."""
        if self.count == 1 or device.device.type == "cpu":
            return device
        index = distributed.get_node_local_rank(fallback_rank=self.rank)
        torch.cuda.set_device(index)
        return TrainingDevice(torch.device("cuda", index), device.bf16)

    def slots(self, batch: int) -> Sequence[int]:
        """This rank's slots of a batch of `batch` examples."""
        return range(self.rank, batch, self.count)

    def agreed(self, number: float) -> float:
        """The first rank's number."""
        if self.count == 1:
            return number
        told = torch.tensor([number], dtype=torch.float64)
        distributed.broadcast(told, 0)
        return float(told)

    def shared(self, value: Value) -> Value:
        """The first rank's value, copied to all."""
        if self.count == 1:
            return value
        told: list[Any] = [value if self.first else None]
        distributed.broadcast_object_list(told, 0)
        first: Value = told[0]
        return first

    def total(self, sums: Tensor) -> Tensor:
        """Add up the sums of all ranks' shares; gradients reach this rank's share alone.

        Each rank then computes the loss of the whole batch, so the gradients that they find for the weights
        are to be added up.
        """
        return sums if self.count == 1 else _Total.apply(sums)

    def mean(self, gradient: Tensor) -> Tensor:
        """The mean of the ranks' gradients, which DistributedDataParallel does not take."""
        if self.count == 1:
            return gradient
        distributed.all_reduce(gradient)
        return gradient / self.count

    def backward(self, loss: Tensor) -> None:
        """Add up the gradients of all ranks; `loss` is that of the whole batch."""
        # DistributedDataParallel takes the mean of the gradients.
        (loss if self.count == 1 else loss * self.count).backward()

    def prepare(self, network: DeeplySupervisedUNet, device: TrainingDevice, *, whole: bool) -> nn.Module:
        """What computes the network's training steps; its batch norms are changed to use the whole batch.

        Args:
            network: on the device; the first rank's weights are copied to all.
            device: of this rank.
            whole: whether the loss reads all of the network's heads.
        """
        if self.count == 1:
            return network
        from model.training.synchronised_norm import synchronise

        synchronise(network, device)
        parallel = nn.parallel.DistributedDataParallel
        # torch has renamed this option; all ranks compute the same statistics anyway.
        names = inspect.signature(parallel).parameters
        copies = "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers"
        options: dict[str, Any] = {copies: False, "find_unused_parameters": not whole}
        if device.device.type == "cuda":
            options["device_ids"] = [device.device.index]
        return parallel(network, **options)

    def plain(self, network: DeeplySupervisedUNet) -> DeeplySupervisedUNet:
        """A copy of a network, with batch norms of one process."""
        if self.count == 1:
            return copy.deepcopy(network)
        with torch.random.fork_rng(devices=[]):
            result = DeeplySupervisedUNet(network.settings)
        result.load_state_dict(network.state_dict())
        return result.train(network.training)


ALONE = Ranks()
"""A training in one process."""


def summed(values: Tensor) -> Tensor:
    """The sum of the values of all ranks, without a gradient."""
    total = values.clone()
    distributed.all_reduce(total)
    return total


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(_: Any, sums: Tensor) -> Tensor:
        return summed(sums)

    @staticmethod
    def backward(_: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


@contextmanager
def joined() -> Iterator[Ranks]:
    """This process among those that torchrun started; alone if it did not.

    The group stays when the training ends, since torchrun lets a process join only one. It is left if the
    training fails: otherwise the other processes would wait for this one.

    Raises:
        TrainingError: another process of the group has ended.
    """
    if not distributed.is_available() or not (
        distributed.is_initialized() or distributed.is_torchelastic_launched()
    ):
        yield ALONE
        return
    if not distributed.is_initialized():
        # Without a name, numbers of the processor go through gloo, and those of a GPU through NCCL.
        distributed.init_process_group()
        atexit.register(_leave)
    rank = distributed.get_rank()
    try:
        yield Ranks(rank, distributed.get_world_size())
    except BaseException as error:
        _leave()
        broken = isinstance(error, RuntimeError) and not isinstance(error, TrainingError)
        if broken and (isinstance(error, distributed.DistError) or "gloo" in str(error)):
            raise TrainingError(
                f"Process {rank} cannot go on, since another process of this training has ended; the message "
                "of that process says why."
            ) from error
        raise


def _leave() -> None:
    if distributed.is_initialized():
        distributed.destroy_process_group()
