"""The `dsal` application and its commands."""

from __future__ import annotations

import sys
import warnings
from importlib.metadata import version
from typing import Annotated

import typer

from ml_backend.cli import (
    connect,
    dicom,
    export,
    folder,
    predict,
    pretrain,
    projects,
    segment,
    service,
    status,
    versions,
)
from ml_backend.cli.console import print_error
from ml_backend.cli.doctor import doctor
from ml_backend.cli.experiment import experiment
from ml_backend.cli.suspicious import suspicious

app = typer.Typer(
    name="dsal",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help=(
        "**Deeply supervised active learning for Label Studio.**\n\n"
        "An ML backend for image segmentation. It pre-annotates tasks with masks, retrains when annotators "
        "submit theirs, and puts the images it would learn most from at the top of Label Studio's list.\n\n"
        "**Try it:** `dsal demo` runs the whole loop in a real Label Studio on this machine.\n\n"
        "**Use it:** set `LABEL_STUDIO_URL` and `LABEL_STUDIO_API_KEY`, keep `dsal serve` and `dsal worker` "
        "running, and connect each project once with `dsal connect --project N`. If something does not work, "
        "`dsal doctor` finds the cause and says how to fix it.\n\n"
        "**Without Label Studio:** `dsal train` and `dsal score` work on folders of images.\n\n"
        "Settings are environment variables; docs/settings.md lists them. The exit status is 0 on success, "
        "1 on failure, 2 for an invalid option or setting, and 128 + N after signal N (Ctrl-C: 130)."
    ),
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"dsal {version('dsal')}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


app.command(rich_help_panel="The service")(service.serve)
app.command(rich_help_panel="The service")(service.worker)
app.command(rich_help_panel="A Label Studio project")(connect.connect)
app.command(rich_help_panel="A Label Studio project")(connect.disconnect)
app.command("import-dicom", rich_help_panel="A Label Studio project")(dicom.import_dicom)
app.command(rich_help_panel="A Label Studio project")(status.status)
app.command(rich_help_panel="A Label Studio project")(doctor)
app.command(rich_help_panel="A Label Studio project")(projects.reconcile)
app.command(rich_help_panel="A Label Studio project")(export.export)
app.command(rich_help_panel="A Label Studio project")(suspicious)
app.add_typer(projects.app, name="projects", rich_help_panel="A Label Studio project")
for command in (versions.versions, versions.publish, versions.rollback, versions.pause, versions.resume):
    app.command(rich_help_panel="A Label Studio project")(command)
app.command(rich_help_panel="Training and scoring")(folder.train)
app.command(rich_help_panel="Training and scoring")(folder.score)
app.command(rich_help_panel="Training and scoring")(predict.predict)
app.command(rich_help_panel="Training and scoring")(segment.segment)
app.command(rich_help_panel="Training and scoring")(pretrain.pretrain)
app.command(rich_help_panel="Training and scoring")(experiment)
app.command(rich_help_panel="Trying it out")(folder.phantom)
app.command(rich_help_panel="Trying it out")(service.demo)


def main() -> None:
    """Run `dsal`. An error that a user can fix is printed as one sentence; only a bug as a traceback."""
    # A warning is for whoever set a variable: one sentence, without the line of code that noticed it.
    warnings.formatwarning = lambda message, *_args, **_options: f"dsal: {message}\n"
    try:
        status = app(standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:
        # Imported only now: its imports take longer than most commands take to run.
        from ml_backend.cli.exits import explain

        explained = explain(error)
        if explained is None:
            raise
        sentence, status = explained
        if sentence:
            print_error(sentence)
    sys.exit(status if isinstance(status, int) else 0)
