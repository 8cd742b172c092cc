"""The first ordering of a project: seeded random scores, as the paper's first ten images are random."""

from __future__ import annotations

from ml_backend.jobs.context import job, open_context
from ml_backend.jobs.rescore import order_anew
from ml_backend.store import projects, versions
from ml_backend.store.models import ProjectState, VersionState


@job
def run_start(project_id: int) -> None:
    """Give a new project its seeded random version, and any project scores for the tasks that have none.

    A labeling config that asks for other predictions than the published ones gets them, as far as the
    published weights can give them. Nothing is drawn before the first training: the random version has no
    weights.
    """
    with open_context() as context:
        if not context.is_active(project_id):
            return
        config = context.read_config(project_id)
        with context.database.write() as session:
            project = projects.ensure(session, project_id, seed=context.settings.seed)
            project.state = ProjectState.READY
            version = None
            if versions.published(session, project_id) is None:
                version = versions.create(
                    session, project, round=0, state=VersionState.SCORING, labels=config.labels
                )
        if version is None:
            version = order_anew(context, project_id, config)
        if version is not None and version.state is VersionState.SCORING:
            context.queues.request_score_version(version.id)
        else:
            context.queues.request_score_new(project_id)
