"""The whole demo: bring everything up, play the rounds, say where to log in, take everything down."""

from __future__ import annotations

import secrets
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from ml_backend.demo.annotator import Annotator
from ml_backend.demo.display import Display
from ml_backend.demo.images import Collection, Drawing, own_images, upload_names
from ml_backend.demo.label_studio import LabelStudioServer
from ml_backend.demo.loop import DemoError, Loop
from ml_backend.demo.processes import (
    STOP_SECONDS,
    Interrupted,
    Processes,
    Signals,
    adopt_orphans,
    end_descendants,
    free_port,
)
from ml_backend.demo.results import Round, check_report, round_table, summary_table, write_report
from ml_backend.demo.workplace import own
from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import parse
from ml_backend.label_studio.connection import Connection, connect
from ml_backend.score.strategy import wanted
from ml_backend.settings import Settings
from ml_backend.store.database import Database
from ml_backend.store.weights import WeightStore

PROJECT = "dsal demo"
LABEL_STUDIO_PORT = 8080
BACKEND_PORT = 9090
ROUND_SECONDS = 45.0
"""Guess of what a round takes besides training, until one has been timed."""


@dataclass(frozen=True)
class DemoOptions:
    """The options of `dsal demo`; see its help."""

    rounds: int
    per_round: int
    images: Path | None
    masks: Path | None
    tasks: int
    test: int
    report: Path | None
    leave: bool
    width: int
    size: int
    seconds: float
    steps: int | None
    strategy: str
    seed: int
    folder: Path
    label_studio: Path


def run_demo(options: DemoOptions) -> None:
    """Play the demo, then stay up until a signal; whatever happens, all that it started is stopped.

    A signal while it stays up is its ordinary end, and returns.

    Raises:
        Interrupted: a signal came before all rounds were played.
        DemoError, ReportError, WorkplaceError: something is in the way that one sentence names.
        DatasetError, ProcessError, LabelStudioServerError, LabelStudioError: something could not be had.
    """
    display = Display(Console(highlight=False))
    if not options.label_studio.exists():
        raise DemoError(
            f"There is no Label Studio at {options.label_studio}: `make demo` installs it; "
            "--label-studio names another."
        )
    if options.report is not None:
        check_report(options.report)
    adopt_orphans()
    with Signals() as signals, ExitStack() as stack:
        try:
            _demonstrate(options, display, stack)
        finally:
            signals.ignore()
            display.stage("stopping everything")
            stack.callback(display.rest)
            stack.callback(end_descendants, STOP_SECONDS)


def _demonstrate(options: DemoOptions, display: Display, stack: ExitStack) -> None:
    folder = stack.enter_context(own(options.folder))
    display.say(
        f"Rounds: {options.rounds}, of {options.per_round} annotations each. Data and logs: {folder}",
        wrap=False,
    )
    server = _server(options, folder)
    _say_ports(display, server)
    collection = _prepare(options, folder, server, display, stack)
    loop, connection = _bring_up(options, folder, collection, server, display, stack)
    rounds = _play(options, loop)
    display.rest()
    display.say(summary_table(rounds))
    if not options.leave:
        _say_where(display, server, connection)
        _wait_for_interrupt(loop.processes)


def _server(options: DemoOptions, folder: Path) -> LabelStudioServer:
    # Reading the settings now tells of a wrong one in the environment before anything is started.
    templates = Settings().model_dir / "label-studio-templates"
    return LabelStudioServer(
        options.label_studio.absolute(),
        folder / "label-studio",
        free_port(LABEL_STUDIO_PORT),
        templates=templates,
    )


def _say_ports(display: Display, server: LabelStudioServer) -> None:
    if server.port != LABEL_STUDIO_PORT:
        display.say(f"Port {LABEL_STUDIO_PORT} is taken, so Label Studio will listen on {server.port}.")


def _prepare(
    options: DemoOptions, folder: Path, server: LabelStudioServer, display: Display, stack: ExitStack
) -> Collection:
    """Read the user's images, or draw phantoms while Label Studio starts."""
    stack.callback(server.stop)
    if options.images is not None and options.masks is not None:
        collection = own_images(
            options.images,
            options.masks,
            options.tasks,
            options.test,
            options.seed,
            lambda done, total: display.stage("reading images and masks", f"{done} of {total}"),
        )
        if collection.left_out:
            named = ", ".join(collection.left_out[:5]) + (" …" if len(collection.left_out) > 5 else "")
            display.say(f"Left out, because their masks mark nothing ({len(collection.left_out)}): {named}")
        server.start(display.stage)
        return collection
    with Drawing(folder / "phantoms", options.tasks, options.test, options.seed) as drawing:
        server.start(lambda _: display.stage("starting Label Studio", "while phantoms are drawn"))
        return drawing.wait(lambda done, total: display.stage("drawing phantoms", f"{done} of {total}"))


def _bring_up(
    options: DemoOptions,
    folder: Path,
    collection: Collection,
    server: LabelStudioServer,
    display: Display,
    stack: ExitStack,
) -> tuple[Loop, Connection]:
    environment = _environment(options, folder, server)
    settings = Settings.model_validate({name.lower(): value for name, value in environment.items() if value})
    processes = Processes(folder / "logs", environment)
    stack.callback(processes.stop)
    display.stage("starting the service and a worker")
    processes.start("service", ["serve"])
    processes.start("worker", ["worker"])
    address = f"http://127.0.0.1:{settings.port}"
    processes.wait_until_healthy(f"{address}/health")
    client = LabelStudio(server.url, server.token)
    display.stage("uploading images", f"{len(collection.tasks)} of them")
    project = int(client.create_project(PROJECT)["id"])
    names = upload_names(collection.tasks)
    uploaded = client.upload(project, {name: each.image_path.read_bytes() for name, each in names.items()})
    display.stage("connecting the project")
    labels = [label.capitalize() for label in collection.labels]
    connection = connect(
        client,
        backend_url=address,
        project=project,
        labels=labels,
        basic_auth=settings.basic_auth,
        highest_first=lambda _, config: wanted(settings, config).highest_first,
    )
    config = parse(client.project(project)["label_config"])
    truth = {uploaded[name]: sample for name, sample in names.items()}
    annotator = Annotator(client, project, connection.view, config, truth)
    database = Database(settings.effective_database_url)
    stack.callback(database.close)
    weights = WeightStore(settings.effective_store_url, settings.weights_cache_dir)
    patience = 900 + 10 * options.seconds
    return Loop(settings, database, weights, annotator, collection, processes, display, patience), connection


def _environment(options: DemoOptions, folder: Path, server: LabelStudioServer) -> dict[str, str]:
    """The service's settings; those that would lead it elsewhere are emptied."""
    return {
        "LABEL_STUDIO_URL": server.url,
        "LABEL_STUDIO_API_KEY": server.token,
        "MODEL_DIR": str(folder / "service"),
        "DATABASE_URL": "",
        "REDIS_URL": "",
        "STORE_URL": "",
        "HOST": "127.0.0.1",
        "PORT": str(free_port(BACKEND_PORT)),
        "BASIC_AUTH_USER": "label-studio",
        "BASIC_AUTH_PASS": secrets.token_urlsafe(12),
        "RETRAIN_EVERY": str(options.per_round),
        "NETWORK_WIDTH": str(options.width),
        "IMAGE_SIZE": str(options.size),
        "TRAIN_SECONDS": str(options.seconds),
        "TRAIN_STEPS": "" if options.steps is None else str(options.steps),
        "SEED": str(options.seed),
        "STRATEGY": options.strategy,
        # They have seen such phantoms, and would leave nothing to learn.
        "INITIAL_WEIGHTS": "none",
    }


def _play(options: DemoOptions, loop: Loop) -> list[Round]:
    display = loop.display
    display.expect(options.rounds * (options.seconds + ROUND_SECONDS))
    rounds = [loop.first_order()]
    _show(options, display, rounds)
    while rounds[-1].round < options.rounds:
        began = time.monotonic()
        result = loop.run(rounds[-1], options.per_round, options.rounds)
        if result is None:
            break
        rounds.append(result)
        display.expect((options.rounds - result.round) * (time.monotonic() - began))
        _show(options, display, rounds)
    return rounds


def _show(options: DemoOptions, display: Display, rounds: list[Round]) -> None:
    display.say(round_table(rounds[-1], options.rounds))
    if options.report is not None:
        write_report(options.report, _settings_told(options), rounds)


def _settings_told(options: DemoOptions) -> dict[str, Any]:
    """The options as the report holds them."""
    told = {name: value for name, value in asdict(options).items() if value is not None}
    return {name: str(value) if isinstance(value, Path) else value for name, value in told.items()}


def _say_where(display: Display, server: LabelStudioServer, connection: Connection) -> None:
    display.say(
        "",
        f"Label Studio: {server.url}/projects/{connection.project}/data?tab={connection.view}",
        f"Log in as {server.email} with password {server.password}",
        'Choose "Label Tasks As Displayed" beside "Label All Tasks" to get the most informative image first.',
        "Ctrl-C stops everything.",
        wrap=False,
    )


def _wait_for_interrupt(processes: Processes) -> None:
    try:
        while True:
            processes.check()
            time.sleep(1)
    except Interrupted:
        return
