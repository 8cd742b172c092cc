"""The first order of a project, and a new order when what shapes its predictions has changed."""

from __future__ import annotations

import logging

from sqlalchemy.orm import Session

from ml_backend.label_studio.config import LabelConfig
from ml_backend.label_studio.views import set_direction
from ml_backend.queue import kinds
from ml_backend.queue.context import Context, JobError
from ml_backend.queue.jobs import job
from ml_backend.score.strategy import made_by, prediction_fingerprint, wanted
from ml_backend.store import projects, versions
from ml_backend.store.models import Project, ProjectState, Version, VersionState


@job(kinds.ORDER)
def order_project(context: Context, project_id: int) -> None:
    """Give a new project its first version, and any project scores for the tasks that have none.

    A labeling config that asks for other predictions than the published ones gets them, as far as the
    published weights can give them. Where INITIAL_WEIGHTS has nothing for a project, its first version has no
    weights: nothing is drawn before the first training, and the order is random.
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


def _initial_weights(context: Context, project: Project, config: LabelConfig) -> str | None:
    if context.settings.initial_weights is None:
        return None
    # Here and not above: whoever begins with nothing need not wait for torch.
    from ml_backend.score.initial_weights import initial_weights
    from model.weights import WeightsError

    try:
        return initial_weights(context, project, config)
    except WeightsError as error:
        raise JobError(f"INITIAL_WEIGHTS cannot be used: {error}") from error


logger = logging.getLogger(__name__)

UNDER_WAY = (VersionState.TRAINING, VersionState.SCORING)


def is_outdated(context: Context, version: Version, config: LabelConfig) -> bool:
    """Whether a published version was ordered or drawn in another way than is asked for now.

    Of versions made before recipes were noted only the strategy is known.
    """
    if version.fingerprint is None:
        return version.strategy != wanted(context.settings, config).name
    return version.fingerprint != prediction_fingerprint(context.settings, config, version)


def reorder(context: Context, project_id: int, config: LabelConfig) -> Version | None:
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
        version.fingerprint = prediction_fingerprint(context.settings, config, version)
    set_direction(context.label_studio, project_id, highest_first=made_by(version).highest_first)
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
