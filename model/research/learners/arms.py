"""The ways to train that are compared."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from model.loss import LossWeights
from model.training.settings import TrainingSettings

SIZE = 384
"""Longer side of the canvas in pixels, that of the shipped weights; an arm may have another."""
REFERENCE = "base"
"""The arm that the others are compared with: cross-entropy alone, all images equally often."""


@dataclass(frozen=True)
class Arm:
    """A way to train.

    Attributes:
        change: of `TrainingSettings`, from those of the reference.
        size: longer side of the canvas in pixels.
        budget: factor of the pixels that a training sees.
        mirrored: whether images are mirrored although their labels have sides, as in earlier releases.
    """

    change: dict[str, Any] = field(default_factory=dict)
    size: int = SIZE
    budget: float = 1.0
    mirrored: bool = False

    def settings(self, seed: int, device: str) -> TrainingSettings:
        """The settings for one step; `augment` is off, since augmented variants are made before."""
        values: dict[str, Any] = {
            "steps": 1,
            "batch": 2,
            "precision": "fp32",
            "augment": False,
            "balanced": False,
            "loss": LossWeights(),
            "seed": seed,
            "device": device,
        }
        return TrainingSettings(**{**values, **self.change})


def arms() -> dict[str, Arm]:
    """All arms, by name."""
    shares = {f"dice{round(100 * share)}": LossWeights(dice=share) for share in (0.3, 0.5, 0.8, 1.0)}
    found = {REFERENCE: Arm(mirrored=True), "balanced": Arm({"balanced": True})}
    for name, loss in shares.items():
        both = {"loss": loss, "balanced": True}
        found |= {
            name: Arm({"loss": loss}),
            f"{name}+balanced": Arm(both),
            f"{name}+balanced+batch4": Arm({**both, "batch": 4}),
            f"{name}+balanced+rate1e-3": Arm({**both, "learning_rate": 1e-3}),
            f"{name}+balanced+rate6e-3": Arm({**both, "learning_rate": 6e-3}),
            f"{name}+balanced+size256": Arm({**both, "batch": 4}, size=256),
            f"{name}+balanced+size512": Arm(both, size=512),
            f"{name}+crop192": Arm({**both, "crop": 192, "batch": 6}),
            f"{name}+crop256": Arm({**both, "crop": 256, "batch": 3}),
        }
    longer = {
        f"{name}+x{factor}": Arm(arm.change, arm.size, factor, arm.mirrored)
        for factor in (2, 4)
        for name, arm in found.items()
    }
    return found | longer
