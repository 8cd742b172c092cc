"""Trainings for `test_ranks.py`: each process of torchrun writes what it saw to `<folder>/<rank>.json`."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from model.loss import LossWeights
from model.training.batches import ExampleSource
from model.training.dataset import Example
from model.training.ranks import joined
from model.training.run import TrainingError, TrainingResult
from model.training.synchronised_norm import SynchronisedNorm
from tests.model.squares import NETWORK, SETTINGS, run, square

MIXED = [square("a"), square("b", 64, 32), square("c", 40, 56), square("d"), square("e", 32, 32)]
WEIGHTED = [*MIXED[:3], *(Example(one.key, one.image, one.mask, weight=0.3) for one in MIXED[3:])]
FIVE = replace(SETTINGS, steps=5, batch=3, learning_rate=1e-3, loss=LossWeights(dice=0.5))

TRAININGS: dict[str, dict[str, Any]] = {
    "batch norm": {"settings": FIVE, "training": MIXED},
    "group norm, weights, parts, one head": {
        "settings": replace(FIVE, crop=32, balanced=True, loss=LossWeights(0, 0, 1, dice=0.5)),
        "training": WEIGHTED,
        "network": replace(NETWORK, norm="group"),
    },
}
"""Arguments of `run`, under a name."""
RESUMED: dict[str, Any] = {"settings": replace(FIVE, checkpoint_every=2), "training": MIXED}


def seen(result: TrainingResult) -> dict[str, Any]:
    """What of a result is compared."""
    weights = torch.cat([tensor.flatten().double() for tensor in result.network.state_dict().values()])
    return {
        "losses": [one.loss for one in result.history],
        "dsc": [one.validation_dsc for one in result.history],
        "weights": weights[:: max(1, len(weights) // 500)].tolist(),
        "norms": sorted({type(module).__name__ for module in result.network.modules()}),
    }


def norm(slots: Sequence[int]) -> dict[str, Any]:
    """What synchronised batch norm makes of some slots of a batch of five, and of their gradients."""
    layer, values, factors = nn.BatchNorm2d(3), *batch()
    if len(slots) < len(values):
        layer = SynchronisedNorm(layer)
    else:
        layer, values, factors = layer.double(), values.double(), factors.double()
    share = values[slots].requires_grad_()
    (layer(share).square() * factors[slots]).sum().backward()
    assert share.grad is not None
    assert layer.running_mean is not None
    assert layer.running_var is not None
    statistics = [*layer.running_mean.tolist(), *layer.running_var.tolist()]
    return {"statistics": statistics, "gradients": [one.flatten().tolist() for one in share.grad]}


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    """Five images of three channels with large means, and a factor for each of their pixels."""
    generator = torch.Generator().manual_seed(0)
    values, factors = torch.randn(2, 5, 3, 4, 6, generator=generator)
    return values + 20, factors


class Breaks(ExampleSource):
    """A source that one rank cannot read from the third step on."""

    def __init__(self, broken: bool) -> None:
        self._broken = broken

    @property
    def description(self) -> dict[str, Any]:
        return {}

    def draw(self, step: int, slot: int, batch: int) -> Example:
        if self._broken and step == 2:
            raise OSError("The disk is gone.")
        return MIXED[slot]


def ending(rank: int) -> str:
    """How a training ends of which rank 1 fails."""
    try:
        run(FIVE, training=Breaks(broken=rank == 1), validation=[])
    except (TrainingError, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return "it did not fail"


def main(folder: Path) -> None:
    """Run the trainings as one of several processes."""
    torch.set_num_threads(1)
    with joined() as ranks:
        told: dict[str, list[int]] = {}
        results = {}
        for name, arguments in TRAININGS.items():
            told[name] = []
            results[name] = seen(
                run(**arguments, progress=lambda entry, steps=told[name]: steps.append(entry.step))
            )
        results["norm"] = norm(ranks.slots(5))
        # Begun by one process.
        checkpoints = folder / "checkpoints" if ranks.first else None
        results["resumed"] = seen(run(**RESUMED, checkpoints=checkpoints))
    answer = {"results": results, "told": told, "ending": ending(ranks.rank)}
    (folder / f"{ranks.rank}.json").write_text(json.dumps(answer))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
