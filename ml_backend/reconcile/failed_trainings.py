"""Trainings that failed for a temporary reason: requested again, after increasing delays."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

from ml_backend.learn.failures import wait_after
from ml_backend.queue.context import Context
from ml_backend.reconcile.discrepancy import Discrepancy
from ml_backend.store import events, runs
from ml_backend.store.models import Project, RunState, now


def repair(context: Context, project: Project) -> Iterator[Discrepancy]:
    """Request a training again if the last one failed for a temporary reason and changes are pending."""
    with context.database.read() as session:
        failed = list(
            takewhile(lambda run: run.state is RunState.FAILED, runs.of_project(session, project.id))
        )
        pending = bool(events.pending(session, project.id))
    if not failed or not failed[0].passing or failed[0].finished_at is None or not pending:
        return
    if now() - failed[0].finished_at >= wait_after(len(failed)) and context.queues.request_training(
        project.id
    ):
        yield Discrepancy(project.id, f"A training failed: requested again. {failed[0].message}")
