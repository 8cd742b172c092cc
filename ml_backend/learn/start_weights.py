"""What a project begins with, and what each of its trainings begins with."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from ml_backend.label_studio.config import LabelConfig
from ml_backend.queue.context import Context
from ml_backend.score.strategy import wanted
from ml_backend.settings import SHIPPED_WEIGHTS
from ml_backend.store.models import Project, Version
from ml_backend.store.version_names import version_name
from model.classes import Classes
from model.engines import prepare_version
from model.imaging.preprocessing import PreprocessingSettings
from model.inheritance import carried_over
from model.network import DROPOUT, DeeplySupervisedUNet, NetworkSettings
from model.pretrained import pretrained_start
from model.weights import Card, load_version, save_version

KNOWN = "bone"
"""What a label's name must hold for the shipped weights to have anything to say about it."""


@dataclass(frozen=True)
class Beginning:
    """Where a training starts.

    Attributes:
        network: shape of the network.
        preprocessing: how its images are prepared.
        start: weights to go on from, with the project's classes; None from scratch.
    """

    network: NetworkSettings
    preprocessing: PreprocessingSettings
    start: DeeplySupervisedUNet | None


def beginning(context: Context, champion: Version | None, config: LabelConfig) -> Beginning:
    """The champion's network and all that belongs to it, or a fresh one as the settings have it.

    A network that is carried on keeps its width and the size of its images, as neither can change without
    beginning anew.

    Raises:
        WeightsError, WeightStoreError: the champion's weights cannot be read.
    """
    settings, classes = context.settings, len(config.labels) + 1
    dropout = DROPOUT if wanted(settings, config).dropout_passes else 0.0
    if champion is None or champion.weights_hash is None or settings.train_from == "scratch":
        shape = NetworkSettings(classes=classes, width=settings.network_width, dropout=dropout)
        return Beginning(shape, PreprocessingSettings(size=settings.image_size), None)
    network, card = load_version(context.weights.get(champion.weights_hash))
    if card.labels != config.labels:
        network = carried_over(network, Classes(config.labels, config.indices).origins(card.labels))
    shape = replace(network.settings, classes=classes, dropout=dropout)
    return Beginning(shape, card.preprocessing, network)


def initial_weights(context: Context, project: Project, config: LabelConfig) -> str | None:
    """Store the weights with which a project begins, and return their hash; None where it begins with none.

    Those that are shipped know the bones of the hand: they are for projects with a label whose name says
    bone. Other weights are for all projects.

    Raises:
        WeightsError: INITIAL_WEIGHTS is no version's folder.
    """
    chosen = context.settings.initial_weights
    if chosen is None:
        return None
    shipped = chosen == SHIPPED_WEIGHTS
    if shipped and not any(KNOWN in label.casefold() for label in config.labels):
        return None
    classes = Classes(config.labels, config.indices)
    network, source = pretrained_start(classes, None if shipped else Path(chosen))
    card = Card(
        name=version_name(project.id, 0, project.seed),
        labels=config.labels,
        network=network.settings,
        preprocessing=source.preprocessing,
        loss=source.loss,
        parent=source.name,
    )
    settings = context.settings
    with tempfile.TemporaryDirectory(dir=settings.model_dir, prefix=".initial-") as folder:
        directory = Path(folder) / "version"
        save_version(directory, network, card)
        prepare_version(network, directory, engine=settings.engine, device=settings.device)
        return context.weights.put(directory)
