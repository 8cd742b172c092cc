"""Commands that keep projects in order: `reconcile`, and `projects` with archive, restore and purge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ml_backend.cli.console import answers
from ml_backend.settings import Settings

if TYPE_CHECKING:
    from ml_backend.store.models import Project

app = typer.Typer(invoke_without_command=True, rich_markup_mode="markdown")

Number = Annotated[int, typer.Argument(metavar="N", help="Number of the project in Label Studio.")]


def reconcile(
    project: Annotated[
        int | None, typer.Option("--project", metavar="N", help="This project only, instead of all.")
    ] = None,
    failed_images: Annotated[
        bool, typer.Option("--failed-images", help="Try all images again that could not be had or read.")
    ] = False,
) -> None:
    """Compare Label Studio, the database, the weights and the queue, and mend what has drifted apart.

    A running worker does it by itself every RECONCILE_SECONDS; this does it now, and compares each prediction
    where the worker compares totals. One line is printed for each thing found; what is to be computed is left
    to the workers. Images that failed for good, such as those that were missing, are tried again only with
    --failed-images.

    Example: `dsal reconcile --project 3`
    """
    from ml_backend.queue.context import open_context
    from ml_backend.reconcile import reconcile as compare
    from ml_backend.reconcile.lifecycle import get_project, retry_images

    found = 0
    console = answers()
    with open_context() as context:
        if project is not None:
            get_project(context.database, project)
        if failed_images:
            retry_images(context.database, project)
        for finding in compare(context, project, thorough=True):
            console.print(str(finding), markup=False, soft_wrap=True)
            found += 1
    if not found:
        console.print("Nothing has drifted apart.")


@app.callback()
def projects(context: typer.Context) -> None:
    """List the projects; archive, bring back or purge one.

    A project that Label Studio no longer shows is archived by itself: nothing is done for it, all is kept,
    and it comes back as soon as Label Studio shows it again. One archived by hand comes back by hand.

    Example: `dsal projects`
    """
    if context.invoked_subcommand is None:
        _list()


@app.command()
def archive(number: Number) -> None:
    """Do nothing for a project any more, and keep all of it; Label Studio is not touched.

    Example: `dsal projects archive 3`
    """
    from ml_backend.reconcile.lifecycle import archive as set_aside
    from ml_backend.store.database import Database

    set_aside(Database(Settings().effective_database_url), number)
    answers().print(f"Project {number} is archived; dsal projects restore {number} brings it back.")


@app.command()
def restore(number: Number) -> None:
    """Serve an archived project again, with the versions and the order it had.

    Example: `dsal projects restore 3`
    """
    from ml_backend.queue.context import open_context
    from ml_backend.reconcile.lifecycle import restore as bring_back

    with open_context() as context:
        bring_back(context, number)
    answers().print(f"Project {number} is served again; the workers compare it with Label Studio.")


@app.command()
def purge(
    number: Number,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Delete all that is kept of an archived project: figures, versions, weights, cached images.

    Label Studio is not touched, and weights that another project uses stay. This cannot be undone.

    Example: `dsal projects purge 3 --yes`
    """
    from ml_backend.queue.context import open_context
    from ml_backend.reconcile.lifecycle import check_purge
    from ml_backend.reconcile.lifecycle import purge as delete

    with open_context() as context:
        project = check_purge(context.database, number)
        if not yes:
            typer.confirm(f"Delete all that is kept of project {number} “{project.title or ''}”?", abort=True)
        weights = delete(context, number)
    answers().print(f"Project {number} is purged, with the weights of {weights} versions.")


def _list() -> None:
    from ml_backend.store import events, labels_seen, versions
    from ml_backend.store import projects as stored
    from ml_backend.store.database import Database

    table = Table()
    for column in ("project", "title", "state", "serves", "versions", "labels", "changes"):
        table.add_column(column, justify="right" if column in ("versions", "labels", "changes") else "left")
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
    answers().print(table)


def _state(project: Project) -> str:
    if project.archived_at is None:
        return "served" if project.published_version_id is not None else "new"
    why = "by hand" if project.archived_by_hand else "not in Label Studio"
    return f"archived {project.archived_at:%Y-%m-%d}, {why}"
