"""Trainings that failed for a temporary reason, and whose next try the queue has lost: requested again."""

from __future__ import annotations

from collections.abc import Iterator

from ml_backend.queue import patience
from ml_backend.queue.context import Context
from ml_backend.reconcile.discrepancy import Discrepancy
from ml_backend.store import events, runs
from ml_backend.store.clock import seconds_since
from ml_backend.store.models import Project, RunState

LONGEST_WAIT = patience.LONGEST_SECONDS
"""Seconds after which the queue would have tried again."""


def repair(context: Context, project: Project) -> Iterator[Discrepancy]:
    """Request a training if the last one failed for a temporary reason, and no job will try it again.

    The queue itself tries again for as long as the fault lasts (`ml_backend.queue.patience`), but Redis may
    have been lost meanwhile.
    """
    with context.database.read() as session:
        run = runs.last(session, project.id)
        pending = bool(events.pending(session, project.id))
    if run is None or run.state is not RunState.FAILED or not run.passing or not pending:
        return
    if run.finished_at is None or context.queues.training_is_scheduled(project.id):
        return
    if seconds_since(run.finished_at) >= LONGEST_WAIT and context.queues.request_training(project.id):
        yield Discrepancy(project.id, f"A training failed: requested again. {run.message}")
