"""The shipped weights: finger and palm bones, trained on phantoms only (docs/pretraining.md)."""

from __future__ import annotations

from pathlib import Path

from model.classes import Classes
from model.inheritance import adopted
from model.network import DeeplySupervisedUNet
from model.weights import Card, load_version

__all__ = ["pretrained_start", "pretrained_version"]


def pretrained_version() -> Path:
    """Folder of the shipped version: one label, "bone", width 16, trained on synthetic images only."""
    return Path(__file__).parent / "hand-bones"


def pretrained_start(classes: Classes, version: Path | None = None) -> tuple[DeeplySupervisedUNet, Card]:
    """Start weights for a project, and the card of the version they come from.

    For a project of one label, the network segments that label at once. For several labels, it segments those
    that the version has by name; the others start as new classes (`model.inheritance`): they are not
    segmented before training, but encoder and decoder are already trained.

    Args:
        classes: the project's classes.
        version: folder of other weights to start from; None for the shipped ones.

    Returns:
        The network, on the CPU and in evaluation mode, of `len(classes.labels)` + 1 classes; and the card,
        whose `preprocessing` the project must use and whose `name` is the parent of versions trained from it.

    Raises:
        model.weights.WeightsError: the version cannot be read.
    """
    network, card = load_version(pretrained_version() if version is None else version)
    return adopted(network, card.labels, classes), card
