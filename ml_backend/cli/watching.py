"""Requests to the running workers: a training, whose progress is shown, and scores."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import typer

from ml_backend.cli.console import output, progress_bar
from ml_backend.settings import Settings

if TYPE_CHECKING:
    from ml_backend.store.database import Database

POLL_SECONDS = 1.0


class UnknownProjectError(ValueError):
    """The database does not have the project; the message says how to connect it."""


def follow_training(project_id: int) -> None:
    """Request a training of the project now, and show its progress until the run has ended."""
    from ml_backend.learn.trigger import consider
    from ml_backend.queue.clients import connect_redis
    from ml_backend.queue.queues import JobQueues
    from ml_backend.store import events, runs, versions
    from ml_backend.store.database import Database
    from ml_backend.store.models import RunState

    settings = Settings()
    database = Database(settings.effective_database_url)
    queues = JobQueues(connect_redis(settings))
    _check_known(database, project_id)
    with database.write() as session:
        added = events.add(session, project_id, events.START_TRAINING)
        session.flush()
        event = added.id
    consider(database, queues, settings, project_id)
    with progress_bar() as bar:
        task = bar.add_task("Training", total=None, note="waiting for a worker")
        while True:
            with database.read() as session:
                run = runs.that_consumed(session, event)
            if run is not None:
                if run.state is not RunState.RUNNING:
                    break
                bar.update(task, note=run.message)
            time.sleep(POLL_SECONDS)
    with database.read() as session:
        version = None if run.version_id is None else versions.get(session, run.version_id)
    outcome = run.message if version is None else f"version {version.name} is {version.state.value}"
    output().print(f"Training {run.state.value}: {run.labels} labels, {run.seconds:.0f} s; {outcome}")
    if run.state is RunState.FAILED:
        raise typer.Exit(1)


def request_scores(project_id: int) -> None:
    """Request scores for the project's tasks that the published version has not scored."""
    from ml_backend.queue.clients import connect_redis
    from ml_backend.queue.queues import JobQueues
    from ml_backend.store.database import Database

    settings = Settings()
    _check_known(Database(settings.effective_database_url), project_id)
    queues = JobQueues(connect_redis(settings))
    requested = queues.request_score_new(project_id)
    output().print(
        "The workers will score the tasks without scores." if requested else "This job is already queued."
    )


def _check_known(database: Database, project_id: int) -> None:
    from ml_backend.store import projects

    with database.read() as session:
        if projects.get(session, project_id) is None:
            raise UnknownProjectError(
                f"Project {project_id} is not connected; run dsal connect --project {project_id} first."
            )
