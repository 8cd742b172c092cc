"""The life of a project: archived when Label Studio deletes it or a person says so, restored, and purged.

A person may also have its failed images retried.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator

from ml_backend.label_studio.images.cache import ImageCache
from ml_backend.learn.trigger import consider
from ml_backend.queue.context import Context
from ml_backend.reconcile.discrepancy import Discrepancy
from ml_backend.store import projects, runs, scores, versions
from ml_backend.store.database import Database
from ml_backend.store.models import Project, now


class LifecycleError(ValueError):
    """The project's state does not allow the operation; the message is one sentence that says what to do."""


def get_project(database: Database, project_id: int) -> Project:
    """The project.

    Raises:
        LifecycleError: the project is not in the database.
    """
    with database.read() as session:
        project = projects.get(session, project_id)
    if project is None:
        raise LifecycleError(f"Project {project_id} is unknown here; connect it with dsal connect first.")
    return project


def archive(database: Database, project_id: int) -> None:
    """Archive the project until a person restores it.

    Raises:
        LifecycleError: the project is not in the database.
    """
    get_project(database, project_id)
    with database.write() as session:
        projects.archive(session, session.get_one(Project, project_id), by_hand=True)


def restore(context: Context, project_id: int) -> None:
    """Restore an archived project: its pending events may trigger a training, and it is compared at once.

    Raises:
        LifecycleError: the project is not in the database.
        LabelStudioError: Label Studio does not show the project, so it would be archived again.
    """
    get_project(context.database, project_id)
    context.label_studio.project(project_id)
    with context.database.write() as session:
        projects.restore(session, session.get_one(Project, project_id))
    consider(context.database, context.queues, context.settings, project_id)
    context.queues.request_reconcile()


def archive_deleted(context: Context, project: Project) -> Iterator[Discrepancy]:
    """Archive a project that Label Studio no longer shows."""
    if project.archived_at is not None:
        return
    with context.database.write() as session:
        projects.archive(session, session.get_one(Project, project.id), by_hand=False)
    remark = "Label Studio no longer shows it: archived, with all rows and weights kept."
    yield Discrepancy(project.id, remark)


def restore_shown(context: Context, project: Project) -> Iterator[Discrepancy]:
    """Restore an archived project that Label Studio shows again; its pending events may trigger training."""
    if project.archived_at is None:
        return
    with context.database.write() as session:
        projects.restore(session, session.get_one(Project, project.id))
    consider(context.database, context.queues, context.settings, project.id)
    yield Discrepancy(project.id, "Label Studio shows it again: restored.")


def check_purge(database: Database, project_id: int) -> Project:
    """The project, if it may be purged.

    Raises:
        LifecycleError: the project is not in the database, not archived, or being trained.
    """
    project = get_project(database, project_id)
    if project.archived_at is None:
        raise LifecycleError(
            f"Project {project_id} is not archived; archive it first with dsal projects archive {project_id}."
        )
    with database.read() as session:
        run = runs.running(session, project_id)
        is_trained = run is not None and not runs.is_abandoned(session, run)
    if is_trained:
        raise LifecycleError(f"Project {project_id} is being trained; purge it when the training has ended.")
    return project


def purge(context: Context, project_id: int) -> int:
    """Delete the project's rows, waiting jobs, weights, checkpoints and cached images.

    Weights that another project uses are kept. Returns the number of versions whose weights were deleted.

    Raises:
        LifecycleError: see `check_purge`.
    """
    check_purge(context.database, project_id)
    with context.database.write() as session:
        left = projects.purge(session, project_id)
    context.queues.forget_project(project_id, left.versions)
    for key in left.weights:
        context.weights.delete(key)
    for name in (*(f"run-{run_id}" for run_id in left.runs), f"examination-{project_id}"):
        shutil.rmtree(context.settings.checkpoint_dir / name, ignore_errors=True)
    ImageCache.purge(context.settings.image_cache_dir, project_id)
    return len(left.weights)


def retry_images(database: Database, project_id: int | None) -> int:
    """Make all failed images of one project, or of all, due for a retry; returns their number.

    Only images scored by the published versions are retried.
    """
    with database.write() as session:
        chosen = projects.active(session) if project_id is None else [projects.get(session, project_id)]
        published = [versions.published(session, one.id) for one in chosen if one is not None]
        return sum(scores.retry_now(session, one.id, now()) for one in published if one is not None)
