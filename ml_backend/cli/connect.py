"""The commands `connect` and `disconnect`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated
from urllib.parse import urlsplit

import typer

from ml_backend.cli.console import listing, output, print_listing
from ml_backend.cli.options import Project
from ml_backend.settings import Settings

if TYPE_CHECKING:
    from ml_backend.label_studio.client import LabelStudio
    from ml_backend.label_studio.disconnection import Departure
    from ml_backend.store.database import Database

Url = Annotated[
    str | None,
    typer.Option("--url", metavar="URL", help="Address of Label Studio, instead of LABEL_STUDIO_URL."),
]
Token = Annotated[
    str | None,
    typer.Option(
        "--token",
        metavar="TOKEN",
        help="Personal access token or legacy token, instead of LABEL_STUDIO_API_KEY.",
    ),
]


def connect(
    url: Url = None,
    token: Token = None,
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
    Run it once per project; run again, it repairs what is missing and changes nothing else. Webhooks that
    this service left under former addresses are removed, and labels that are there already are learned.
    `dsal disconnect` takes everything back.

    `dsal serve` must be running, as Label Studio calls it. The user and password that Label Studio sends are
    BASIC_AUTH_USER and BASIC_AUTH_PASS. `--annotators` is needed only if several people annotate at the same
    time; `--annotators ""` removes their views. `--interactive` adds smart tags for points and boxes to the
    labeling config and makes the ML backend interactive; annotators switch *Auto-Annotation* on.

    Examples: `dsal connect --project 3`, `dsal connect --create "Finger bones" --labels Bone`,
    `dsal connect --project 3 --annotators ann@example.com,bob@example.com`
    """
    from redis.exceptions import RedisError

    from ml_backend.label_studio.connection import connect as make_connection
    from ml_backend.label_studio.nesting import EXAMINED, describe_nested, find_nested
    from ml_backend.queue.context import open_context
    from ml_backend.reconcile.connecting import learn_at_once, remember, serve_again
    from ml_backend.score.strategy import advice, order_to_connect, project_order
    from ml_backend.store import installation
    from ml_backend.store.database import Database

    settings = Settings()
    database = Database(settings.effective_database_url)
    client = label_studio(settings, url, token)
    with database.read() as session:
        name = installation.name(session)
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
        installation=name,
        remember=lambda number, former: remember(database, number, former, seed=settings.seed),
    )
    order = project_order(database, settings, connection.project, connection.config)
    console = output()
    serve_again(database, connection.project)
    try:
        with open_context(client) as context:
            learned = learn_at_once(context, connection.project)
            if order.batch or annotators is not None or connection.annotators:
                context.queues.request_assignment(connection.project)
    except RedisError:
        learned = "Redis does not answer: check REDIS_URL, then run dsal reconcile, so that work begins."
    print_parts(
        f"Project {connection.project} “{connection.title}”",
        [(item.name, item.state, item.detail) for item in connection.items],
    )
    config = connection.config
    overlap = settings.for_project(config.knobs.overrides).overlap
    nested = find_nested(client.some_labelled(connection.project, EXAMINED), config)
    notes = (*connection.notes, describe_nested(nested, overlap), advice(settings, config), learned)
    public, unreachable = public_url(settings, url)
    for note in (*notes, unreachable):
        if note is not None:
            console.print(note, soft_wrap=True, markup=False)
    for who, view in (connection.annotators or {"": connection.view}).items():
        console.print(
            f"{who + ': annotate' if who else 'Annotate'} at "
            f"{public}/projects/{connection.project}/data?tab={view} "
            'with "Label Tasks As Displayed", in the menu beside "Label All Tasks".',
            soft_wrap=True,
            markup=False,
        )


def disconnect(
    project: Project,
    predictions: Annotated[
        bool,
        typer.Option("--predictions", help="Also delete the predictions of this service's versions."),
    ] = False,
    backend: Annotated[
        str | None,
        typer.Option(
            "--backend",
            help="This service's address in the project, if it is not found by itself.",
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be taken back.")] = False,
    url: Url = None,
    token: Token = None,
) -> None:
    """Take back everything that `dsal connect` made in a Label Studio project; its labels stay.

    That is the ML backend, the webhooks, also those left over under former addresses, the views, the tasks'
    marks and assignments, the sampling and the model version. What others made or changed stays. The project
    is archived here, with its versions; `dsal connect --project N` undoes all of it, and `dsal projects
    purge N` deletes what is kept.

    Examples: `dsal disconnect --project 3 --dry-run`, `dsal disconnect --project 3 --predictions`
    """
    from ml_backend.label_studio.disconnection import Departure
    from ml_backend.label_studio.webhooks import Recognition
    from ml_backend.reconcile.connecting import forget_connection, former_fields
    from ml_backend.store import installation
    from ml_backend.store.database import Database
    from ml_backend.store.version_names import is_open_name, is_version_name

    settings = Settings()
    database = Database(settings.effective_database_url)
    with database.read() as session:
        name = installation.name(session)
    departure = Departure(
        label_studio(settings, url, token),
        project,
        address=(backend or f"http://localhost:{settings.port}").rstrip("/"),
        is_given=backend is not None,
        recognition=Recognition(name, settings.basic_auth),
        is_temporary=lambda version: is_open_name(version, project),
        is_version=lambda version: is_version_name(version, project),
        former=former_fields(database, project),
        predictions=predictions,
    )
    parts = departure.parts()
    console = output()
    if parts:
        print_parts(f"To take back from project {project}", [(part.name, part.detail) for part in parts])
    if not dry_run:
        _take_back(departure, database)
        forget_connection(database, project)
        console.print(
            f"Project {project} is disconnected, and its labels are kept; "
            f"dsal connect --project {project} connects it again."
            if parts
            else f"Nothing of this service is left in project {project}.",
            soft_wrap=True,
        )
    elif not parts:
        console.print(f"Nothing of this service is in project {project}.")
    for note in departure.notes:
        console.print(note, soft_wrap=True, markup=False)


def _take_back(departure: Departure, database: Database) -> None:
    """Stop serving the project, then take its parts back; if the first is refused, nothing has changed."""
    from ml_backend.label_studio.disconnection import take_back
    from ml_backend.label_studio.errors import LabelStudioError
    from ml_backend.reconcile.connecting import serve_again, stop_serving

    was_active = stop_serving(database, departure.project)
    done = 0
    try:
        # Listed again, as jobs of the service may have added marks until it was archived.
        for part in take_back(departure.parts()):
            done += 1
            output().print(f"taken back: {part.name}, {part.detail}", soft_wrap=True, markup=False)
    except LabelStudioError:
        if was_active and not done:
            serve_again(database, departure.project)
        raise


def label_studio(settings: Settings, url: str | None, token: str | None) -> LabelStudio:
    """The Label Studio of the options --url and --token, or of the settings."""
    from ml_backend.label_studio.client import LabelStudio

    return LabelStudio(
        url or settings.label_studio_url,
        token or settings.label_studio_api_key.get_secret_value(),
        timeout=settings.http_timeout,
    )


def print_parts(title: str, rows: Iterable[tuple[str, ...]]) -> None:
    """Print parts of a connection as a table."""
    listed = list(rows)
    table = listing(*("" for _ in listed[0]))
    table.show_header = False
    for row in listed:
        table.add_row(*row)
    print_listing(table, title)


def public_url(settings: Settings, given: str | None) -> tuple[str, str | None]:
    """The address at which browsers open Label Studio, and a sentence if that is probably not known."""
    if given is None and settings.label_studio_public_url:
        return settings.label_studio_public_url.rstrip("/"), None
    found = (given or settings.label_studio_url).rstrip("/")
    host = urlsplit(found).hostname or ""
    if "." in host or ":" in host or host == "localhost":
        return found, None
    return found, (
        f'Browsers may not know the host "{host}": set LABEL_STUDIO_PUBLIC_URL to the address at which '
        "annotators open Label Studio."
    )
