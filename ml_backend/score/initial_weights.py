"""The weights of a new project (INITIAL_WEIGHTS), stored as those of its first version."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ml_backend.label_studio.config import LabelConfig
from ml_backend.queue.context import Context
from ml_backend.settings import SHIPPED_WEIGHTS
from ml_backend.store.models import Project
from ml_backend.store.version_names import version_name
from model.classes import Classes
from model.engines import prepare_version
from model.pretrained import pretrained_start
from model.weights import Card, save_version

KNOWN = "bone"
"""What a label's name must hold for the shipped weights to have anything to say about it."""


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
