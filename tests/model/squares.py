"""Bright rectangles on a dark background, and short trainings on them."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from model.network import DeeplySupervisedUNet, NetworkSettings
from model.training.dataset import Example
from model.training.run import TrainingResult, TrainingSettings, train

LABELS = ("bone",)
NETWORK = NetworkSettings(classes=2, width=4)
SETTINGS = TrainingSettings(
    steps=6, validate_every=3, checkpoint_every=2, precision="fp32", device="cpu", seed=3
)


def square(key: str, height: int = 48, width: int = 32, label: int = 1) -> Example:
    """A bright rectangle on a dark background, whose position depends on the key."""
    rng = np.random.default_rng(sum(key.encode()))
    mask = np.zeros((height, width), np.uint8)
    top, left = rng.integers(4, height // 2), rng.integers(4, width // 2)
    mask[top : top + height // 3, left : left + width // 3] = label
    image = np.where(mask > 0, 200, 40) + rng.integers(-20, 20, mask.shape)
    return Example(key, image.astype(np.uint8), mask)


TRAINING = [square(key) for key in "abcde"]
VALIDATION = [square(key) for key in "yz"]


def run(settings: TrainingSettings = SETTINGS, **changes: object) -> TrainingResult:
    arguments: dict[str, Any] = {"labels": LABELS, "network": NETWORK, "settings": settings, **changes}
    return train(arguments.pop("training", TRAINING), arguments.pop("validation", VALIDATION), **arguments)


def same(one: DeeplySupervisedUNet, other: DeeplySupervisedUNet) -> bool:
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return all(torch.equal(mine, theirs) for mine, theirs in pairs)
