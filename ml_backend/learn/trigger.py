"""The trigger of trainings: turns pending events into at most one waiting training per project.

From LEARN_FROM labels on, a change starts a training at once. Before that, and with LEARN_FROM=0, one starts
when enough labels have changed, when a change is followed by a quiet time, or on request. While one is
running nothing is decided: it takes changes into account by itself, or at its end all that arrived meanwhile
lead to at most one more. An event is committed before `consider` reads the runs, and a run ends before
`after_training` reads the events, so at least one of the two sees the other and no event is missed.
"""

from __future__ import annotations

from datetime import timedelta

from ml_backend.queue.queues import JobQueues
from ml_backend.settings import Settings
from ml_backend.store import events, labels_seen, projects, runs
from ml_backend.store.clock import seconds_since
from ml_backend.store.database import Database

EVENTS_KEPT = timedelta(days=30)
"""How long consumed events are kept."""


def consider(database: Database, queues: JobQueues, settings: Settings, project_id: int) -> bool:
    """Request a training if the project's pending events call for one; cheap, and harmless if repeated.

    Returns whether a new job was added. Archived and paused projects are not trained.
    """
    if queues.training_waits(project_id):
        return False
    with database.read() as session:
        run = runs.running(session, project_id)
        if not projects.may_learn(session, project_id) or (
            run is not None and not runs.is_abandoned(session, run)
        ):
            return False
        pending = events.pending(session, project_id)
        known = labels_seen.count(session, project_id) + pending.changes
    enough = pending.requested or pending.changes >= settings.retrain_every
    enough = enough or 0 < settings.learn_from <= known
    if run is not None and not run.owner and not pending.fresh:
        # It made way for another project, and its next turn is scheduled unless the queue was lost.
        return queues.request_training(project_id, delay=settings.quiet_seconds, postpone=False)
    if run is not None or (pending.fresh and enough):
        return queues.request_training(project_id)
    if pending.fresh and pending.last_at is not None:
        delay = max(0.0, settings.quiet_seconds - seconds_since(pending.last_at))
        return queues.request_training(project_id, delay=delay)
    return False


def is_due(database: Database, settings: Settings, project_id: int) -> bool:
    """Whether labels that no training has taken into account call for one now."""
    with database.read() as session:
        pending = events.pending(session, project_id)
    if not pending.fresh or pending.last_at is None:
        return False
    quiet_for = seconds_since(pending.last_at)
    enough = pending.requested or pending.changes >= settings.retrain_every
    return enough or quiet_for >= settings.quiet_seconds


def after_training(database: Database, queues: JobQueues, settings: Settings, project_id: int) -> None:
    """Consider the events that arrived during a training; call it once the run has finished or failed."""
    with database.write() as session:
        events.prune(session, older_than=EVENTS_KEPT)
    consider(database, queues, settings, project_id)
