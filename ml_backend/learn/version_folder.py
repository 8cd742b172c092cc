"""A trained network as the folder of a version: weights, card, and what its engine needs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ml_backend.label_studio.config import LabelConfig
from ml_backend.queue.context import Context
from ml_backend.settings import Settings
from ml_backend.store import versions
from ml_backend.store.models import Project, Version
from ml_backend.store.version_names import version_name
from model.engines import prepare_version
from model.imaging.preprocessing import PreprocessingSettings
from model.loss import LossWeights, default_dice
from model.network import DeeplySupervisedUNet
from model.training.settings import TrainingSettings
from model.weights import Card, save_version


def training_settings(settings: Settings, config: LabelConfig) -> TrainingSettings:
    """How a project's network is trained."""
    dice = default_dice(len(config.labels)) if settings.loss_dice is None else settings.loss_dice
    return TrainingSettings(
        steps=settings.train_steps,
        seconds=settings.train_seconds,
        until_plateau=True,
        batch=settings.batch_size,
        episodes=settings.prompt_episodes,
        seed=settings.seed,
        precision=settings.precision,
        device=settings.device,
        loss=LossWeights(settings.loss_lower, settings.loss_middle, settings.loss_final, dice),
    )


def write_folder(
    directory: Path,
    network: DeeplySupervisedUNet,
    context: Context,
    project_id: int,
    config: LabelConfig,
    preprocessing: PreprocessingSettings,
    *,
    run_id: int,
    steps: int,
    parent: Version | None,
    metrics: Mapping[str, float],
) -> None:
    """Write a network into `directory` as the project's next version.

    Args:
        directory: created; replaced by the caller if it exists.
        network: on the CPU, in evaluation mode.
        context, project_id, config, preprocessing: of the training.
        run_id, steps: the run, and the steps it has done.
        parent: the version whose weights it started from.
        metrics: for the card; values that are not finite are left out.
    """
    settings = context.settings
    with context.database.read() as session:
        number = versions.next_round(session, project_id)
        seed = session.get_one(Project, project_id).seed
    training = training_settings(settings, config)
    card = Card(
        name=version_name(project_id, number, seed),
        labels=config.labels,
        network=network.settings,
        preprocessing=preprocessing,
        loss=training.loss,
        metrics={name: value for name, value in metrics.items() if np.isfinite(value)},
        parent=None if parent is None else parent.name,
        training={**training.to_dict(), "steps_done": steps, "run": run_id},
    )
    save_version(directory, network, card)
    prepare_version(network, directory, engine=settings.engine, device=settings.device)
