"""The commands `reconcile` and `projects`, with `archive`, `restore` and `purge`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ml_backend.cli.console import counted, listing, output, print_listing
from ml_backend.cli.options import Number
from ml_backend.queue.logs import printable
from ml_backend.settings import Settings

if TYPE_CHECKING:
    from ml_backend.store.models import Project

app = typer.Typer(invoke_without_command=True, rich_markup_mode="markdown")


def reconcile(
    project: Annotated[
        int | None, typer.Option("--project", metavar="N", help="This project only, instead of all.")
    ] = None,
    failed_images: Annotated[
        bool, typer.Option("--failed-images", help="Retry all images that could not be fetched or read.")
    ] = False,
) -> None:
    """Compare Label Studio, the database, the weights and the queue, and repair the differences.

    A running worker does this every RECONCILE_SECONDS. This command does it now, and compares each
    prediction, whereas the worker compares totals. It prints one line per difference and requests jobs for
    what must be computed. Images that failed permanently, such as missing ones, are retried only with
    --failed-images.

    Example: `dsal reconcile --project 3`
    """
    from ml_backend.queue.context import open_context
    from ml_backend.reconcile import reconcile as compare
    from ml_backend.reconcile.lifecycle import get_project, retry_images

    found = 0
    console = output()
    with open_context() as context:
        if project is not None:
            get_project(context.database, project)
        if failed_images:
            retry_images(context.database, project)
        for finding in compare(context, project, thorough=True):
            console.print(str(finding), markup=False, soft_wrap=True)
            found += 1
    if not found:
        console.print("No differences found.")


@app.callback()
def projects(context: typer.Context) -> None:
    """List the projects; archive, restore or purge one.

    A project that Label Studio no longer shows is archived automatically: it is not served, its data is kept,
    and it is restored when Label Studio shows it again. One that you archive stays archived until you restore
    it.

    Example: `dsal projects`
    """
    if context.invoked_subcommand is None:
        _list()


@app.command()
def archive(number: Number) -> None:
    """Stop serving a project and keep its data; Label Studio is not touched.

    Example: `dsal projects archive 3`
    """
    from ml_backend.reconcile import lifecycle
    from ml_backend.store.database import Database

    lifecycle.archive(Database(Settings().effective_database_url), number)
    output().print(f"Project {number} is archived; dsal projects restore {number} restores it.")


@app.command()
def restore(number: Number) -> None:
    """Serve an archived project again, with its versions and its order.

    Example: `dsal projects restore 3`
    """
    from ml_backend.queue.context import open_context
    from ml_backend.reconcile import lifecycle

    with open_context() as context:
        lifecycle.restore(context, number)
    output().print(f"Project {number} is served again; a worker will compare it with Label Studio.")


@app.command()
def purge(
    number: Number,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask for confirmation.")] = False,
) -> None:
    """Delete all data of an archived project: its rows in the database, weights and cached images.

    Label Studio is not touched, and weights that another project uses are kept. This cannot be undone.

    Example: `dsal projects purge 3 --yes`
    """
    from ml_backend.queue.context import open_context
    from ml_backend.reconcile import lifecycle

    with open_context() as context:
        project = lifecycle.check_purge(context.database, number)
        if not yes:
            title = printable(project.title or "")
            typer.confirm(f"Delete all data of project {number} “{title}”?", abort=True)
        weights = lifecycle.purge(context, number)
    output().print(f"Project {number} is purged, with the weights of {counted(weights, 'version')}.")


def _list() -> None:
    from ml_backend.store import events, labels_seen, versions
    from ml_backend.store import projects as stored
    from ml_backend.store.database import Database

    numbers = ("versions", "labels", "changes")
    table = listing("project", "title", "state", "serves", *numbers, right=numbers)
    with Database(Settings().effective_database_url).read() as session:
        for project in stored.all_projects(session):
            serving = versions.published(session, project.id)
            table.add_row(
                str(project.id),
                project.title or "",
                _state(project),
                "–" if serving is None else serving.name,
                str(len(versions.of_project(session, project.id))),
                str(labels_seen.count(session, project.id)),
                str(events.pending(session, project.id).changes),
            )
    print_listing(table)


def _state(project: Project) -> str:
    if project.archived_at is None:
        return "served" if project.published_version_id is not None else "new"
    why = "by hand" if project.archived_by_hand else "not in Label Studio"
    return f"archived {project.archived_at:%Y-%m-%d}, {why}"
