"""The weights that are shipped: finger and palm bones, learned from phantoms alone (docs/pretraining.md)."""

from __future__ import annotations

from pathlib import Path

from model.classes import Classes
from model.inheritance import adopted
from model.network import DeeplySupervisedUNet
from model.weights import Card, load_version

__all__ = ["pretrained_start", "pretrained_version"]


def pretrained_version() -> Path:
    """Folder of the shipped version: one label, "bone", width 16; it has never seen a real image."""
    return Path(__file__).parent / "hand-bones"


def pretrained_start(classes: Classes, version: Path | None = None) -> tuple[DeeplySupervisedUNet, Card]:
    """Start weights for a project, and the card of the version they come from.

    A project of one label gets a network that draws that label at once. With several labels, those that the
    version knows by name are drawn at once, and the others start as new classes do: nothing is drawn of them
    before training, but encoder and decoder already know the image.

    Args:
        classes: the project's.
        version: folder of other weights to start from; None for the shipped ones.

    Returns:
        The network, on the CPU and in evaluation mode, of `len(classes.labels)` + 1 classes; and the card,
        whose `preprocessing` the project must use and whose `name` is the parent of what is trained.

    Raises:
        model.weights.WeightsError: the version cannot be read.
    """
    network, card = load_version(pretrained_version() if version is None else version)
    return adopted(network, card.labels, classes), card
