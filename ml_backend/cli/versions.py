"""The commands `versions`, `publish`, `rollback`, `pause` and `resume`: what the page does, from a shell."""

from __future__ import annotations

import getpass
import os
import time
from typing import TYPE_CHECKING, Annotated

import typer

from ml_backend.cli.console import listing, output, print_listing
from ml_backend.cli.options import Number
from ml_backend.settings import Settings

if TYPE_CHECKING:
    from ml_backend.store.states import ActionKind

WAIT_SECONDS = 30.0
"""How long a command waits for a worker to do what it asks for."""

Name = Annotated[str, typer.Argument(metavar="VERSION", help="Name of a version, as dsal versions lists it.")]


def versions(number: Number) -> None:
    """List the versions of a project: state, labels, validation DSC with its interval, and what is kept.

    Example: `dsal versions 3`
    """
    from ml_backend.page.figures import overall
    from ml_backend.reconcile.lifecycle import get_project
    from ml_backend.store import versions as stored
    from ml_backend.store.database import Database

    database = Database(Settings().effective_database_url)
    get_project(database, number)
    table = listing("version", "state", "labels", "validation DSC", "published", "weights", right={"labels"})
    with database.read() as session:
        for version in stored.of_project(session, number):
            kept = "kept" if version.kept else "yes"
            published = version.published_at
            table.add_row(
                version.name,
                version.state.value,
                str(version.labels_used),
                str(overall(version)),
                "–" if published is None else f"{published.astimezone():%Y-%m-%d %H:%M}",
                "none" if version.weights_hash is None else kept,
            )
    print_listing(table)


def publish(number: Number, version: Name) -> None:
    """Publish a version again: masks, scores and order in Label Studio follow, and learning goes on from it.

    A new version gets its weights; it is scored and published like any other, so annotators see the old order
    or the new one. A training that is running ends, and its labels are learned again from there.

    Example: `dsal publish 3 p3-r002-brave-otter`
    """
    from ml_backend.store.states import ActionKind

    _ask(ActionKind.PUBLISH, number, version)


def rollback(
    number: Number,
    to: Annotated[
        str,
        typer.Option(
            "--to",
            metavar="VERSION",
            help="Name of a version; by default the one that was published before the present one.",
        ),
    ] = "",
) -> None:
    """Go back to the version that was published before, as `dsal publish` does.

    Learning goes on from it; `dsal pause` prevents that until you resume it.

    Example: `dsal rollback 3`
    """
    from ml_backend.store.states import ActionKind

    _ask(ActionKind.ROLL_BACK, number, to)


def pause(number: Number) -> None:
    """Pause the learning of a project: labels are collected, and masks and order stay as they are.

    Example: `dsal pause 3`
    """
    from ml_backend.store.states import ActionKind

    _ask(ActionKind.PAUSE, number)


def resume(number: Number) -> None:
    """Resume the learning of a project; a training that was running continues.

    Example: `dsal resume 3`
    """
    from ml_backend.store.states import ActionKind

    _ask(ActionKind.RESUME, number)


def _ask(kind: ActionKind, number: int, target: str = "") -> None:
    """Ask for it, wait for a worker, and print the outcome; exits with 1 if it was refused."""
    from ml_backend.act.asking import ask
    from ml_backend.queue.clients import connect_redis
    from ml_backend.queue.queues import JobQueues
    from ml_backend.store import actions
    from ml_backend.store.database import Database
    from ml_backend.store.states import ActionState

    settings = Settings()
    database = Database(settings.effective_database_url)
    queues = JobQueues(connect_redis(settings))
    asked = ask(database, queues, kind, project_id=number, target=target, who=_person(), via="command")
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        with database.read() as session:
            action = actions.get(session, asked.id)
        assert action is not None
        if action.state is not ActionState.WAITING:
            output().print(action.outcome, markup=False, soft_wrap=True)
            if action.state is ActionState.REFUSED:
                raise typer.Exit(1)
            return
        time.sleep(0.2)
    output().print("It is recorded; a worker does it as soon as one is running and has time for it.")


def _person() -> str:
    """The name of whoever runs the command; a container may run it under a number without a name."""
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return f"user {os.getuid()}"
