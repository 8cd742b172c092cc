"""The query strategy of a project: the configured one, and the one that made a version's scores."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import Any

from ml_backend.label_studio.blueprint import Order
from ml_backend.label_studio.config import Control, LabelConfig
from ml_backend.settings import Settings
from ml_backend.store import projects, versions
from ml_backend.store.database import Database
from ml_backend.store.models import Version
from model.classes import Classes
from model.strategies import DEFAULT, Strategy, parse

SHOWING = ("validation", "mask_floor", "smallest_region", "max_regions", "max_points")
"""Settings that decide whether and how masks are shown."""


def wanted(settings: Settings, config: LabelConfig) -> Strategy:
    """The configured strategy of a project: the one in its labeling config, else STRATEGY."""
    return parse(settings.for_project(config.knobs.overrides).strategy)


def advice(settings: Settings, config: LabelConfig) -> str | None:
    """A recommendation if the strategy labels the most consistent image first; None otherwise."""
    strategy = wanted(settings, config)
    if not strategy.highest_first:
        return None
    return (
        f"The query strategy is {strategy.name}: the most consistent image first, as in the paper. In all of "
        f"our measurements a random order was better (docs/science.md); set STRATEGY={DEFAULT}, or "
        f'model_strategy="{DEFAULT}" in the labeling config.'
    )


def made_by(version: Version) -> Strategy:
    """The strategy that orders a version's tasks."""
    return parse(version.strategy)


def differs_only_in_strategy(settings: Settings, config: LabelConfig, version: Version) -> bool:
    """Whether a version's predictions would be what is configured now, were it not for the strategy."""
    return version.fingerprint == prediction_fingerprint(settings, config, version, made_by(version))


def prediction_fingerprint(
    settings: Settings, config: LabelConfig, version: Version, strategy: Strategy | None = None
) -> str:
    """SHA-256 of everything that shapes a version's predictions besides its weights and the images.

    If a published version has another fingerprint, its predictions are outdated: another order, labels that
    no longer exist, or another form of masks. Labels that the version has not learned do not change it.

    Args:
        settings, config: what is configured now.
        version: its weights, and the labels that it has learned.
        strategy: the strategy that orders; the configured one by default.
    """
    strategy = strategy or wanted(settings, config)
    shaping: dict[str, Any] = {
        "strategy": strategy.name,
        "size": settings.query_size if strategy.batch_aware else None,
    }
    if not strategy.follows_score:
        # Versions made before the score was the mean DSC under every strategy are outdated.
        shaping["score"] = "mean DSC"
    if version.weights_hash is not None:
        known = Classes(config.labels, config.indices).shared(version.labels)
        shaping |= {
            "image": (config.image_tag, config.data_key),
            "labels": {
                label: [_format(one) for one in config.controls if label in one.labels] for label in known
            },
            "threshold": config.knobs.threshold,
            "tolerance": config.knobs.tolerance,
        }
        # Only what differs from the defaults, so that an upgrade orders no project again.
        chosen = settings.for_project(config.knobs.overrides)
        for name in SHOWING:
            if getattr(chosen, name) != Settings.model_fields[name].default:
                shaping[name] = getattr(chosen, name)
    return hashlib.sha256(json.dumps(shaping, sort_keys=True).encode()).hexdigest()


def _format(control: Control) -> tuple[str, str, str, str]:
    return control.name, control.kind, control.form.name, control.labels_tag


def order_of(version: Version) -> Order:
    """How Label Studio serves a version's tasks; without weights, scores are random and give the order."""
    strategy = made_by(version)
    return Order(strategy.highest_first, version.weights_hash is not None and not strategy.follows_score)


def project_order(
    database: Database | None, settings: Settings, project_id: int, config: LabelConfig | None
) -> Order:
    """How Label Studio serves a project's tasks.

    Taken from the published version; before there is one, no batch is marked, and the direction is that of
    the strategy in the labeling config, else in the settings.
    """
    if database is not None:
        with database.read() as session:
            version = versions.published(session, project_id)
        if version is not None:
            return order_of(version)
    return Order((parse(settings.strategy) if config is None else wanted(settings, config)).highest_first)


def order_to_connect(
    database: Database, settings: Settings, project_id: int, config: LabelConfig | None
) -> Order:
    """`project_order` for a view that is made now: no filter on the batch while no task is marked.

    An ordered project without our view has no marks, and a filtered view would be empty until a worker has
    made them. `ml_backend.score.batch` filters the view then.
    """
    order = project_order(database, settings, project_id, config)
    with database.read() as session:
        project = projects.get(session, project_id)
    return order if project is not None and project.shows_batch else replace(order, batch=False)
