"""Trainings that failed because Label Studio or the images were away: tried again, ever more seldom."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from itertools import takewhile

from ml_backend.queue.context import Context
from ml_backend.queue.queues import RETRY_SECONDS
from ml_backend.reconcile.finding import Finding
from ml_backend.store import events, runs
from ml_backend.store.models import Project, RunState, now

FIRST_WAIT = timedelta(minutes=5)
LONGEST_WAIT = timedelta(days=1)
TRIES = len(RETRY_SECONDS) + 1
"""Runs that one asking makes, as the queue tries a failed job again."""


def repair(context: Context, project: Project) -> Iterator[Finding]:
    """Ask again for a training that failed for a reason that may have passed."""
    with context.database.read() as session:
        failed = list(
            takewhile(lambda run: run.state is RunState.FAILED, runs.of_project(session, project.id))
        )
        wanted = bool(events.pending(session, project.id))
    if not failed or not failed[0].passing or failed[0].finished_at is None or not wanted:
        return
    wait = min(FIRST_WAIT * 2 ** min((len(failed) - 1) // TRIES, 16), LONGEST_WAIT)
    if now() - failed[0].finished_at >= wait and context.queues.request_training(project.id):
        yield Finding(project.id, f"A training had failed: tried again. {failed[0].message}")
