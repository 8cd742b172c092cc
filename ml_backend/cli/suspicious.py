"""The command `suspicious`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from ml_backend.cli.console import listing, output, print_listing, progress_bar
from ml_backend.cli.options import Project

if TYPE_CHECKING:
    from ml_backend.queue.context import Context
    from ml_backend.settings import Settings
    from ml_backend.store.models import ExaminedLabel
    from model.training.settings import Progress


def suspicious(
    project: Project,
    again: Annotated[
        bool, typer.Option("--again", help="Examine all labels anew, not only list what was found last.")
    ] = False,
    view: Annotated[
        bool | None,
        typer.Option("--view/--no-view", help="Show the labels as a view in Label Studio, or remove it."),
    ] = None,
    steps: Annotated[
        int | None,
        typer.Option(
            "--steps", metavar="N", min=1, help="Steps of each training; by default, until it ends."
        ),
    ] = None,
) -> None:
    """List the labels that look wrong, so that somebody looks at them again.

    Each label is compared with a network that was trained on other labels only: three short trainings from
    the project's initial weights, of TRAIN_SECONDS at most each. A worker does that by itself when it has
    nothing else to do (EXAMINE_FROM); this command does it at once if no label was examined yet, or with
    --again. What was found is kept. A label that is submitted again unchanged is confirmed and not listed any
    more; one that is changed is not listed until it is examined again.

    Example: `dsal suspicious --project 3 --view`
    """
    from ml_backend.label_studio.views import remove_check_view
    from ml_backend.learn.suspicious import SHOWN, show_in_view, update
    from ml_backend.page.board import browser_root
    from ml_backend.queue.context import open_context
    from ml_backend.reconcile.lifecycle import get_project
    from ml_backend.store import examinations
    from ml_backend.store import suspicious as store

    console = output()
    with open_context() as context:
        known_project = get_project(context.database, project)
        with context.database.read() as session:
            known = store.count(session, project)
        if again or not known:
            _examine(context, project, steps, anew=again)
        else:
            update(context, project)
        with context.database.read() as session:
            found, examined = store.listed(session, project), store.count(session, project)
            extent = examinations.extent(session, known_project)
        if found:
            table = _table(context.settings, project, found[:SHOWN])
            print_listing(table, f"Project {project}: labels to look at again")
        console.print(f"{len(found)} of {examined} examined labels look wrong.", soft_wrap=True)
        if extent is not None and not extent.is_finished:
            console.print(f"{extent.sentence()}.", soft_wrap=True, markup=False)
        if len(found) > SHOWN:
            console.print(f"The {SHOWN} most suspicious are shown.")
        if view and found:
            number, _ = show_in_view(context, project)
            address = f"{browser_root(context.settings)}/projects/{project}/data?tab={number}"
            console.print(f"Look at them at {address}", soft_wrap=True)
        elif view is not None and remove_check_view(context.label_studio, project):
            console.print("The view of labels to check is removed.")


def _examine(context: Context, project: int, steps: int | None, *, anew: bool) -> None:
    from ml_backend.learn.examination import examine_project
    from model.training.cross_fitting import FOLDS

    with progress_bar() as bar:
        row = bar.add_task("examining labels", total=FOLDS, note="")

        def report(fold: int, progress: Progress) -> None:
            note = f"training {fold + 1}, step {progress.step}, {progress.seconds:.0f} s"
            bar.update(row, completed=fold, note=note)

        reported: Callable[[int, Progress], None] = report
        examine_project(context, project, anew=anew, steps=steps, report=reported)
        bar.update(row, completed=FOLDS, note="")


def _table(settings: Settings, project: int, found: list[ExaminedLabel]) -> Table:
    from ml_backend.page.board import link

    table = listing(
        "task", "annotation", "suspicion", "what looks wrong", "link", right={"annotation", "suspicion"}
    )
    for row in found:
        address = link(settings, project, row.task_id)
        table.add_row(str(row.task_id), str(row.annotation_id), f"{row.score:.2f}", row.reason, address)
    return table
