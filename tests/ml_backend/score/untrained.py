"""A version whose tiny network has learned nothing, for tests of what is done with its masks."""

from __future__ import annotations

from pathlib import Path

import torch

from model.imaging.preprocessing import PreprocessingSettings
from model.network import DeeplySupervisedUNet, NetworkSettings, Norm
from model.weights import Card, save_version


def save_untrained(
    folder: Path,
    labels: tuple[str, ...] = ("Bone",),
    *,
    size: int = 64,
    crop: bool = True,
    norm: Norm = "batch",
) -> Path:
    """Write such a version into a new folder, which is returned; the same labels have the same weights.

    Args:
        folder: of the version.
        labels: its labels.
        size: of its canvas.
        crop: whether borders of images without content are cut off.
        norm: of the network.
    """
    torch.manual_seed(len(labels))
    shape = NetworkSettings(classes=len(labels) + 1, width=2, norm=norm)
    card = Card("untrained", labels, shape, PreprocessingSettings(size=size, crop=crop))
    save_version(folder, DeeplySupervisedUNet(shape), card)
    return folder
