"""The initial weights of a new project (INITIAL_WEIGHTS), stored as the weights of its first version."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ml_backend.label_studio.config import LabelConfig
from ml_backend.queue.context import Context
from ml_backend.setting_values import SHIPPED_WEIGHTS
from ml_backend.store.models import Project
from ml_backend.store.version_names import version_name
from model.classes import Classes
from model.engines import prepare_version
from model.pretrained import pretrained_start
from model.weights import Card, save_version

SHIPPED_LABEL = "bone"
"""The shipped weights apply to a project only if one of its labels contains this word."""


def initial_weights(context: Context, project: Project, config: LabelConfig) -> str | None:
    """Store the project's initial weights and return their hash; None if it starts without weights.

    The shipped weights segment the bones of the hand, so only projects with a "bone" label use them. Other
    weights are used by all projects.

    Raises:
        WeightsError: INITIAL_WEIGHTS is not the folder of a version.
    """
    chosen = context.settings.initial_weights
    if chosen is None:
        return None
    shipped = chosen == SHIPPED_WEIGHTS
    if shipped and not any(SHIPPED_LABEL in label.casefold() for label in config.labels):
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
