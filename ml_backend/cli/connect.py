"""The command `connect`."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from ml_backend.cli.console import output
from ml_backend.settings import Settings


def connect(
    url: Annotated[
        str | None,
        typer.Option("--url", metavar="URL", help="Address of Label Studio, instead of LABEL_STUDIO_URL."),
    ] = None,
    token: Annotated[
        str | None,
        typer.Option(
            "--token",
            metavar="TOKEN",
            help="Personal access token or legacy token, instead of LABEL_STUDIO_API_KEY.",
        ),
    ] = None,
    project: Annotated[
        int | None, typer.Option("--project", metavar="N", help="Number of the project to connect.")
    ] = None,
    create: Annotated[
        str | None,
        typer.Option(
            "--create", metavar="TITLE", help="Title of a project to create, or to connect if it exists."
        ),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option(
            "--backend",
            help="This service's address as Label Studio reaches it; by default http://localhost:PORT.",
        ),
    ] = None,
    labels: Annotated[
        str,
        typer.Option(
            "--labels",
            metavar="NAMES",
            help="Comma-separated label names for a project without a labeling config.",
        ),
    ] = "Bone",
    annotators: Annotated[
        str | None,
        typer.Option(
            "--annotators",
            metavar="EMAILS",
            help="Comma-separated addresses; each annotator gets a view with tasks of their own.",
        ),
    ] = None,
    interactive: Annotated[
        bool,
        typer.Option(
            "--interactive",
            help="Let annotators ask for masks by points and boxes; without it, that stays as it is.",
        ),
    ] = False,
) -> None:
    """Connect a Label Studio project: create everything in it that this service needs.

    That is a labeling config if there is none, the ML backend, the webhook, the sampling, pre-annotations
    shown to annotators, and the view "Most informative first", sorted in the direction of the query strategy.
    Run it once per project; run again, it repairs what is missing and changes nothing else.

    `dsal serve` must be running, as Label Studio calls it. The user and password that Label Studio sends are
    BASIC_AUTH_USER and BASIC_AUTH_PASS. `--annotators` is needed only if several people annotate at the same
    time; `--annotators ""` removes their views. `--interactive` adds smart tags for points and boxes to the
    labeling config and makes the ML backend interactive; annotators switch *Auto-Annotation* on.

    Examples: `dsal connect --project 3`, `dsal connect --create "Finger bones" --labels Bone`,
    `dsal connect --project 3 --annotators ann@example.com,bob@example.com`
    """
    from ml_backend.label_studio.client import LabelStudio
    from ml_backend.label_studio.connection import connect as make_connection
    from ml_backend.label_studio.nesting import EXAMINED, describe_nested, find_nested
    from ml_backend.queue.queues import JobQueues, connect_redis
    from ml_backend.score.strategy import advice, order_to_connect, project_order
    from ml_backend.store.database import Database

    settings = Settings()
    database = Database(settings.effective_database_url)
    client = LabelStudio(
        url or settings.label_studio_url,
        token or settings.label_studio_api_key.get_secret_value(),
        timeout=settings.http_timeout,
    )
    connection = make_connection(
        client,
        backend_url=backend or f"http://localhost:{settings.port}",
        project=project,
        create=create,
        labels=[label.strip() for label in labels.split(",")],
        basic_auth=settings.basic_auth,
        annotators=None
        if annotators is None
        else [one.strip() for one in annotators.split(",") if one.strip()],
        interactive=interactive,
        order=lambda number, config: order_to_connect(database, settings, number, config),
    )
    order = project_order(database, settings, connection.project, connection.config)
    if order.batch or annotators is not None or connection.annotators:
        JobQueues(connect_redis(settings)).request_assignment(connection.project)
    console = output()
    table = Table(title=f"Project {connection.project} “{connection.title}”", title_justify="left")
    for column in ("", "", ""):
        table.add_column(column)
    table.show_header = False
    for item in connection.items:
        table.add_row(item.name, item.state, item.detail)
    console.print(table)
    config = connection.config
    overlap = settings.for_project(config.knobs.overrides).overlap
    nested = find_nested(client.some_labelled(connection.project, EXAMINED), config)
    for note in (*connection.notes, describe_nested(nested, overlap), advice(settings, config)):
        if note is not None:
            console.print(note, soft_wrap=True)
    for who, view in (connection.annotators or {"": connection.view}).items():
        console.print(
            f"{who + ': annotate' if who else 'Annotate'} at "
            f"{client.url}/projects/{connection.project}/data?tab={view} "
            'with "Label Tasks As Displayed", in the menu beside "Label All Tasks".'
        )
