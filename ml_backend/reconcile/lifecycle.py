"""What a person does about a project: set it aside, bring it back, delete it, have its images tried again."""

from __future__ import annotations

import shutil

from ml_backend.label_studio.images.cache import ImageCache
from ml_backend.learn.trigger import consider
from ml_backend.queue.context import Context
from ml_backend.store import projects, runs, scores, versions
from ml_backend.store.database import Database
from ml_backend.store.models import Project, now


class LifecycleError(ValueError):
    """It cannot be done to the project as it is; one sentence says what to do."""


def known(database: Database, project_id: int) -> Project:
    """The project.

    Raises:
        LifecycleError: the service has never heard of it.
    """
    with database.read() as session:
        project = projects.get(session, project_id)
    if project is None:
        raise LifecycleError(f"Project {project_id} is unknown here; connect it with dsal connect first.")
    return project


def archive(database: Database, project_id: int) -> None:
    """Do nothing for the project until a person restores it."""
    known(database, project_id)
    with database.write() as session:
        projects.archive(session, session.get_one(Project, project_id), by_hand=True)


def restore(context: Context, project_id: int) -> None:
    """Serve an archived project again: what came meanwhile is considered, the rest compared at once.

    Raises:
        LifecycleError: it is unknown.
        LabelStudioError: Label Studio does not show it, so it would be archived again.
    """
    known(context.database, project_id)
    context.label_studio.project(project_id)
    with context.database.write() as session:
        projects.restore(session, session.get_one(Project, project_id))
    consider(context.database, context.queues, context.settings, project_id)
    context.queues.request_reconcile()


def check_purge(database: Database, project_id: int) -> Project:
    """The project, if it may be purged.

    Raises:
        LifecycleError: it is unknown, served, or a worker is still training it.
    """
    project = known(database, project_id)
    if project.archived_at is None:
        raise LifecycleError(
            f"Project {project_id} is served: archive it first with dsal projects archive {project_id}."
        )
    with database.read() as session:
        run = runs.running(session, project_id)
    if run is not None and not runs.is_abandoned(run):
        raise LifecycleError(f"Project {project_id} is being trained: purge it when that has ended.")
    return project


def purge(context: Context, project_id: int) -> int:
    """Delete the project's rows, waiting jobs, weights, checkpoints and cached images.

    Weights that another project uses stay. Returns the number of versions whose weights were deleted.

    Raises:
        LifecycleError: see `check_purge`.
    """
    check_purge(context.database, project_id)
    with context.database.write() as session:
        left = projects.purge(session, project_id)
    context.queues.forget_project(project_id, left.versions)
    for key in left.weights:
        context.weights.delete(key)
    for run_id in left.runs:
        shutil.rmtree(context.settings.checkpoint_dir / f"run-{run_id}", ignore_errors=True)
    ImageCache.purge(context.settings.image_cache_dir, project_id)
    return len(left.weights)


def retry_images(database: Database, project_id: int | None) -> int:
    """Have all images that failed under the published versions tried again; returns how many."""
    with database.write() as session:
        chosen = projects.active(session) if project_id is None else [projects.get(session, project_id)]
        serving = [versions.published(session, one.id) for one in chosen if one is not None]
        return sum(scores.retry_now(session, one.id, now()) for one in serving if one is not None)
