"""Ordering anew: the published weights score all tasks again when what shapes predictions has changed."""

from __future__ import annotations

import logging

from sqlalchemy.orm import Session

from ml_backend.jobs.context import Context
from ml_backend.label_studio.label_config import LabelConfig
from ml_backend.label_studio.order import turn
from ml_backend.ordering import made_by, recipe, wanted
from ml_backend.store import versions
from ml_backend.store.models import Project, Version, VersionState

logger = logging.getLogger(__name__)

UNDER_WAY = (VersionState.TRAINING, VersionState.SCORING)


def is_outdated(context: Context, version: Version, config: LabelConfig) -> bool:
    """Whether a published version was ordered or drawn in another way than is asked for now.

    Of versions made before recipes were noted only the strategy is known.
    """
    if version.recipe is None:
        return version.strategy != wanted(context.settings, config).name
    return version.recipe != recipe(context.settings, config, version)


def order_anew(context: Context, project_id: int, config: LabelConfig) -> Version | None:
    """Make a version of the published weights that orders and draws as is asked for now, to be scored.

    It is published as any other, so annotators see the old order or the new one. Returns None where nothing
    is to be done: nothing has changed, or a version is on its way that will follow the change by itself. The
    seeded random order of round 0 only changes the end from which it is read, at once.
    """
    with context.database.write() as session:
        version = versions.published(session, project_id)
        if version is None or not is_outdated(context, version, config):
            return None
        if any(one.state in UNDER_WAY for one in versions.of_project(session, project_id)):
            return None
        if version.weights_hash is not None:
            return _successor(session, version, session.get_one(Project, project_id))
        version.strategy = wanted(context.settings, config).name
        version.recipe = recipe(context.settings, config, version)
    turn(context.label_studio, project_id, highest_first=made_by(version).highest_first)
    return None


def _successor(session: Session, version: Version, project: Project) -> Version:
    successor = versions.create(
        session,
        project,
        round=versions.next_round(session, project.id),
        state=VersionState.SCORING,
        labels=version.labels,
        parent_id=version.id,
        weights_hash=version.weights_hash,
        labels_used=version.labels_used,
        metrics=version.metrics,
    )
    successor.message = f"The weights of {version.name}, as the labeling config or STRATEGY has changed."
    logger.info("Project %d is ordered anew by %s.", project.id, successor.name)
    return successor
