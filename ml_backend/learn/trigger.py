"""When a training starts: the one place that turns events into at most one waiting training a project.

Training starts when enough changed, when it has been quiet after a change, or when it was asked for. While
one runs nothing is decided; its end decides, so that all that came meanwhile leads to at most one more. An
event is committed before `consider` looks, and a run ends before `after_training` looks: one of the two sees
the other, and nothing is missed between them.
"""

from __future__ import annotations

from datetime import timedelta

from ml_backend.queue.queues import JobQueues
from ml_backend.settings import Settings
from ml_backend.store import events, projects, runs
from ml_backend.store.database import Database
from ml_backend.store.models import now

EVENTS_KEPT = timedelta(days=30)


def consider(database: Database, queues: JobQueues, settings: Settings, project_id: int) -> bool:
    """Ask for a training if the project's pending events want one; cheap, and harmless when repeated.

    True if this makes a new job. For an archived project nothing is asked.
    """
    if queues.training_waits(project_id):
        return False
    with database.read() as session:
        run = runs.running(session, project_id)
        if not projects.is_active(session, project_id) or (run is not None and not runs.is_abandoned(run)):
            return False
        waiting = events.pending(session, project_id)
    enough = waiting.asked or waiting.changes >= settings.retrain_every
    if run is not None or (waiting.fresh and enough):
        return queues.request_training(project_id)
    if waiting.fresh and waiting.last_at is not None:
        quiet_for = (now() - waiting.last_at).total_seconds()
        return queues.request_training(project_id, delay=max(0.0, settings.quiet_seconds - quiet_for))
    return False


def after_training(database: Database, queues: JobQueues, settings: Settings, project_id: int) -> None:
    """Decide about what came during a training; to be called once its run has ended, well or badly."""
    with database.write() as session:
        events.prune(session, older_than=EVENTS_KEPT)
    consider(database, queues, settings, project_id)
