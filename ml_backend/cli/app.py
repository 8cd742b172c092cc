"""The `dsal` application: its commands, and how an error becomes one sentence and an exit status."""

from __future__ import annotations

import sys

import typer

from ml_backend.cli import folder, project, service
from ml_backend.cli.console import failure

app = typer.Typer(
    name="dsal",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help=(
        "**Deeply supervised active learning for Label Studio.**\n\n"
        "An ML backend that pre-annotates images, retrains when masks arrive, and writes the agreement "
        "between the network's hidden and final layers as the score by which Label Studio hands out the "
        "next image.\n\n"
        "*Try it:* `dsal demo` plays the whole loop in a real Label Studio on this machine.\n\n"
        "*Bring it up:* set `LABEL_STUDIO_URL` and `LABEL_STUDIO_API_KEY`, run `dsal serve` and "
        "`dsal worker`, then `dsal connect --project ID`. Settings come from the environment; the README "
        "lists them."
    ),
)
app.command(rich_help_panel="The service")(service.serve)
app.command(rich_help_panel="The service")(service.worker)
app.command(rich_help_panel="A Label Studio project")(project.connect)
app.command(rich_help_panel="A Label Studio project")(project.status)
app.command(rich_help_panel="Training and scoring")(folder.train)
app.command(rich_help_panel="Training and scoring")(folder.score)
app.command(rich_help_panel="Trying it out")(folder.phantom)
app.command(rich_help_panel="Trying it out")(service.demo)


def main() -> None:
    """Run `dsal`. This project's own errors end in one sentence and status 1; anything else is a bug and
    keeps its traceback."""
    try:
        app()
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        if not type(error).__module__.startswith(("model.", "ml_backend.")):
            raise
        failure(str(error))
        sys.exit(1)
