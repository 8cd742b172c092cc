"""The first order of a project, and a new order when the strategy or the labeling config changes.

A new project is ordered by its initial weights, or at random like the first ten images of the paper. Later,
when something that shapes predictions has changed, a new version scores all tasks with the published weights,
without a training.
"""

from __future__ import annotations

import logging

from ml_backend.label_studio.config import LabelConfig
from ml_backend.label_studio.views import set_order
from ml_backend.queue import kinds
from ml_backend.queue.context import Context, JobError
from ml_backend.queue.jobs import job
from ml_backend.score.strategy import order_of, prediction_fingerprint, wanted
from ml_backend.store import projects, versions
from ml_backend.store.models import Project, ProjectState, Version, VersionState
from model.training.splitting import placement

logger = logging.getLogger(__name__)

IN_PROGRESS = (VersionState.TRAINING, VersionState.SCORING)
"""States of versions that may still be published."""


def random_score(task_id: int, seed: int) -> float:
    """A task's score in [0, 1) before there are any weights: random, seeded per task."""
    return placement(f"task {task_id}", seed)


@job(kinds.ORDER)
def order_project(context: Context, project_id: int) -> None:
    """Create a new project's first version, or update a project's order, and request the missing scores.

    If INITIAL_WEIGHTS does not apply to a new project, its first version has no weights: until the first
    training there are no masks, and the order is random. If the labeling config of a known project asks for
    different predictions, the published weights make them as far as they can.
    """
    if not context.is_active(project_id):
        return
    config = context.read_config(project_id)
    with context.database.write() as session:
        project = projects.ensure(session, project_id, seed=context.settings.seed)
        first = versions.published(session, project_id) is None
        known = versions.at_round(session, project_id, 0)
    weights_hash = _initial_weights(context, project, config) if first and known is None else None
    version = None
    with context.database.write() as session:
        project = session.get_one(Project, project_id)
        project.state = ProjectState.READY
        if first:
            version = versions.create(
                session,
                project,
                round=0,
                state=VersionState.SCORING,
                labels=config.labels,
                weights_hash=weights_hash,
            )
    if version is None:
        version = reorder(context, project_id, config)
    if version is not None and version.state is VersionState.SCORING:
        context.queues.request_score_version(version.id)
    else:
        context.queues.request_score_new(project_id)


def reorder(context: Context, project_id: int, config: LabelConfig) -> Version | None:
    """Create a version of the published weights that follows the current configuration, to be scored.

    It is published like any other version, so annotators see either the old order or the new one. Returns
    None if nothing has changed, or if a version in progress will follow the change. The random order of
    round 0 needs no new version: only the direction in which it is read changes, at once.
    """
    with context.database.write() as session:
        version = versions.published(session, project_id)
        if version is None or not is_outdated(context, version, config):
            return None
        if any(one.state in IN_PROGRESS for one in versions.of_project(session, project_id)):
            return None
        if version.weights_hash is not None:
            reason = f"Same weights as {version.name}; the labeling config or a setting has changed."
            successor = versions.create_successor(session, version, reason)
            logger.info("Project %d will be reordered by %s.", project_id, successor.name)
            return successor
        version.strategy = wanted(context.settings, config).name
        version.fingerprint = prediction_fingerprint(context.settings, config, version)
    set_order(context.label_studio, project_id, order_of(version))
    return None


def is_outdated(context: Context, version: Version, config: LabelConfig) -> bool:
    """Whether a published version's predictions differ from what is configured now.

    Versions that are older than fingerprints are compared by strategy only.
    """
    if version.fingerprint is None:
        return version.strategy != wanted(context.settings, config).name
    return version.fingerprint != prediction_fingerprint(context.settings, config, version)


def _initial_weights(context: Context, project: Project, config: LabelConfig) -> str | None:
    if context.settings.initial_weights is None:
        return None
    # Imported late: a project that starts without weights does not have to wait for torch.
    from ml_backend.score.initial_weights import initial_weights
    from model.weights import WeightsError

    try:
        return initial_weights(context, project, config)
    except WeightsError as error:
        raise JobError(f"INITIAL_WEIGHTS cannot be used: {error}") from error
