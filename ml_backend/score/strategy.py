"""By which query strategy a project is ordered: what is asked for, and what a version was made by."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from ml_backend.label_studio.config import Control, LabelConfig
from ml_backend.settings import Settings
from ml_backend.store import versions
from ml_backend.store.database import Database
from ml_backend.store.models import Version
from model.classes import Classes
from model.strategies import RECOMMENDED, Strategy, parse


def wanted(settings: Settings, config: LabelConfig) -> Strategy:
    """The strategy that a project is to be ordered by: its labeling config's, else STRATEGY."""
    return parse(settings.for_project(config.knobs.overrides).strategy)


def advice(settings: Settings, config: LabelConfig) -> str | None:
    """A sentence for whoever orders a project from the most consistent image down; None for all others."""
    strategy = wanted(settings, config)
    if not strategy.highest_first:
        return None
    return (
        f"The query strategy is {strategy.name}: the most consistent image first, as in the paper. Wherever "
        f"we measured it, it did worse than a random order (docs/science.md); STRATEGY={RECOMMENDED} in the "
        f'settings, or model_strategy="{RECOMMENDED}" in the labeling config, is recommended.'
    )


def made_by(version: Version) -> Strategy:
    """The strategy that a version's scores are made by."""
    return parse(version.strategy)


def prediction_fingerprint(settings: Settings, config: LabelConfig, version: Version) -> str:
    """A fingerprint of all that shapes a version's predictions besides its weights and the images.

    A published version that was made by another recipe shows what nobody asks for any more: another order,
    labels that are gone, another form of masks. Labels that it has not learned yet make no difference.
    """
    strategy = wanted(settings, config)
    shaping: dict[str, Any] = {
        "strategy": strategy.name,
        "size": settings.query_size if strategy.batch_aware else None,
    }
    if version.weights_hash is not None:
        known = Classes(config.labels, config.indices).shared(version.labels)
        shaping |= {
            "image": (config.image_tag, config.data_key),
            "labels": {
                label: [_drawing(one) for one in config.controls if label in one.labels] for label in known
            },
            "threshold": config.knobs.threshold,
            "tolerance": config.knobs.tolerance,
        }
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()


def _drawing(control: Control) -> tuple[str, str, str, str]:
    return control.name, control.kind, control.form.name, control.labels_tag


def is_highest_first(
    database: Database | None, settings: Settings, project_id: int, config: LabelConfig | None
) -> bool:
    """Which end of a project's scores is labelled first: the published version's, else what is asked for.

    Without a database, or a usable labeling config, the settings tell.
    """
    if database is not None:
        with database.read() as session:
            version = versions.published(session, project_id)
        if version is not None:
            return made_by(version).highest_first
    return (parse(settings.strategy) if config is None else wanted(settings, config)).highest_first
