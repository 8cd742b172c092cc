"""The first ordering of a project: by initial weights, or at random, as the paper's first ten images are."""

from __future__ import annotations

from ml_backend.jobs.context import Context, JobError, job, open_context
from ml_backend.jobs.rescore import order_anew
from ml_backend.label_studio.label_config import LabelConfig
from ml_backend.store import projects, versions
from ml_backend.store.models import Project, ProjectState, VersionState


@job
def run_start(project_id: int) -> None:
    """Give a new project its first version, and any project scores for the tasks that have none.

    A labeling config that asks for other predictions than the published ones gets them, as far as the
    published weights can give them. Where INITIAL_WEIGHTS has nothing for a project, its first version has no
    weights: nothing is drawn before the first training, and the order is random.
    """
    with open_context() as context:
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
            version = order_anew(context, project_id, config)
        if version is not None and version.state is VersionState.SCORING:
            context.queues.request_score_version(version.id)
        else:
            context.queues.request_score_new(project_id)


def _initial_weights(context: Context, project: Project, config: LabelConfig) -> str | None:
    if context.settings.initial_weights is None:
        return None
    # Here and not above: whoever begins with nothing need not wait for torch.
    from ml_backend.jobs.beginning import initial_weights
    from model.weights import WeightsError

    try:
        return initial_weights(context, project, config)
    except WeightsError as error:
        raise JobError(f"INITIAL_WEIGHTS cannot be used: {error}") from error
