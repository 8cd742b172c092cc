"""What happens here when a project is connected or disconnected, besides the changes in Label Studio.

Connecting makes it active, remembers what it was before, and notes its labels for a training at once.
Disconnecting archives it first, so that nothing is repaired that is being taken back.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis.exceptions import RedisError
from sqlalchemy import delete

from ml_backend.queue.context import Context
from ml_backend.reconcile import missed_labels
from ml_backend.store import assignments, events, projects, runs
from ml_backend.store.database import Database
from ml_backend.store.models import Assignment, Project


def remember(database: Database, project_id: int, former: Mapping[str, Any] | None, *, seed: int) -> None:
    """Store what the project was before it is connected, if that is not stored yet."""
    with database.write() as session:
        project = projects.ensure(session, project_id, seed=seed)
        if former is not None and project.before_connect is None:
            project.before_connect = dict(former)


def former_fields(database: Database, project_id: int) -> Mapping[str, Any] | None:
    """What the project was before it was connected; None if that is not known."""
    with database.read() as session:
        project = projects.get(session, project_id)
        return None if project is None else project.before_connect


def stop_serving(database: Database, project_id: int) -> bool:
    """Archive the project, so that no job touches it any more; whether it was active."""
    with database.write() as session:
        project = projects.get(session, project_id)
        was_active = project is not None and project.archived_at is None
        if project is not None:
            projects.archive(session, project, by_hand=True)
        return was_active


def serve_again(database: Database, project_id: int) -> None:
    """Undo `stop_serving`; nothing happens to a project that is not archived."""
    with database.write() as session:
        project = projects.get(session, project_id)
        if project is not None and project.archived_at is not None:
            projects.restore(session, project)


def forget_connection(database: Database, project_id: int) -> None:
    """Forget what only a connected project has: its view, its annotators, and what it was before."""
    with database.write() as session:
        project = projects.get(session, project_id)
        if project is None:
            return
        project.has_view = project.shows_batch = False
        project.before_connect = None
        assignments.set_annotators(session, project_id, ())
        session.execute(delete(Assignment).where(Assignment.project_id == project_id))


def learn_at_once(context: Context, project_id: int) -> str | None:
    """Note labels that no training has learned, as comparing would; a sentence about them, None without any.

    Comparing with Label Studio is requested as well, which restores what a connection had before.

    Raises:
        LabelConfigError: the project has no usable labeling config.
        LabelStudioError: its labels cannot be read.
    """
    context.read_config(project_id)
    try:
        with context.database.read() as session:
            project = session.get_one(Project, project_id)
        for _ in missed_labels.repair(context, project):
            pass
        context.queues.request_reconcile()
    except RedisError:
        # The labels are noted; a worker that starts requests what there is to do.
        when = "a training starts once Redis answers and a worker runs"
    else:
        when = _when(context, project_id)
    with context.database.read() as session:
        count = events.pending(session, project_id).changes
    if not count:
        return None
    return f"{'1 label is' if count == 1 else f'{count} labels are'} there to be learned: {when}."


def _when(context: Context, project_id: int) -> str:
    with context.database.read() as session:
        run = runs.running(session, project_id)
        is_trained = run is not None and not runs.is_abandoned(session, run)
    if is_trained:
        return "the training that runs now takes them in"
    if context.queues.training_waits(project_id):
        return "a training starts as soon as a worker is free"
    return f"a training starts in {context.settings.quiet_seconds:.0f} s, or with the next label"
