"""The whole demo: start everything, run the rounds, print where to log in, stop everything."""

from __future__ import annotations

import secrets
import time
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from ml_backend.demo.annotator import SimulatedAnnotator
from ml_backend.demo.display import Display
from ml_backend.demo.images import DemoImages, PhantomDrawing, own_images, upload_names
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
from ml_backend.demo.results import RoundResults, check_report, round_table, summary_table, write_report
from ml_backend.demo.workspace import locked_folder
from ml_backend.label_studio.blueprint import Order
from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import parse
from ml_backend.label_studio.connection import Connection, connect
from ml_backend.score.strategy import wanted
from ml_backend.settings import Settings
from ml_backend.store.database import Database
from ml_backend.store.weights import WeightStore
from model.training.dataset import left_out_sentences

PROJECT = "dsal demo"
LABEL_STUDIO_PORT = 8080
BACKEND_PORT = 9090
ROUND_SECONDS = 45.0
"""Estimated seconds of a round besides training, until one has been timed."""


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
    labels: list[str] | None = None


def run_demo(options: DemoOptions) -> None:
    """Run the demo, then stay up until a signal arrives; in any case, stop everything that was started.

    A signal while the demo stays up is its normal end, and the function returns.

    Raises:
        Interrupted: a signal arrived before the last round had ended.
        DemoError: Label Studio is not installed, or a round did not end.
        ReportError, FolderError: the report or the folder cannot be written.
        DatasetError: the images or masks cannot be used.
        ProcessError, LabelStudioServerError: a process did not start, or ended.
        LabelStudioError: Label Studio refused a call.
    """
    display = Display(Console(highlight=False))
    if not options.label_studio.exists():
        raise DemoError(
            f"There is no Label Studio at {options.label_studio}: `make demo` installs it, or give its "
            "command with --label-studio."
        )
    if options.report is not None:
        check_report(options.report)
    adopt_orphans()
    with Signals() as signals, ExitStack() as stack:
        try:
            _run(options, display, stack)
        finally:
            signals.ignore()
            display.stage("stopping everything")
            stack.callback(display.pause)
            stack.callback(end_descendants, STOP_SECONDS)


def _run(options: DemoOptions, display: Display, stack: ExitStack) -> None:
    folder = stack.enter_context(locked_folder(options.folder))
    display.print(
        f"Rounds: {options.rounds}, of {options.per_round} annotations each. Data and logs: {folder}",
        wrap=False,
    )
    server = _server(options, folder)
    if server.port != LABEL_STUDIO_PORT:
        display.print(f"Port {LABEL_STUDIO_PORT} is taken, so Label Studio will listen on {server.port}.")
    collection = _prepare(options, folder, server, display, stack)
    loop, connection = _start_service(options, folder, collection, server, display, stack)
    rounds = _run_rounds(options, loop)
    display.pause()
    display.print(summary_table(rounds))
    if not options.leave:
        _print_login(display, server, connection)
        _wait_for_interrupt(loop.processes)


def _server(options: DemoOptions, folder: Path) -> LabelStudioServer:
    # Reads the settings now, so that an invalid one is reported before anything is started.
    templates = Settings().model_dir / "label-studio-templates"
    return LabelStudioServer(
        options.label_studio.absolute(),
        folder / "label-studio",
        free_port(LABEL_STUDIO_PORT),
        templates=templates,
    )


def _prepare(
    options: DemoOptions, folder: Path, server: LabelStudioServer, display: Display, stack: ExitStack
) -> DemoImages:
    """Start Label Studio, and read the user's images before that or draw phantoms meanwhile."""
    stack.callback(server.stop)
    if options.images is not None and options.masks is not None:
        collection = own_images(
            options.images,
            options.masks,
            options.tasks,
            options.test,
            options.seed,
            lambda done, total: display.stage("reading images and masks", f"{done} of {total}"),
            options.labels,
        )
        for sentence in left_out_sentences(options.images, options.masks):
            display.print(sentence, wrap=False)
        if collection.left_out:
            listed = ", ".join(collection.left_out)
            display.print(f"Left out because their masks are empty ({len(collection.left_out)}): {listed}")
        server.start(display.stage)
        return collection
    with PhantomDrawing(folder / "phantoms", options.tasks, options.test, options.seed) as drawing:
        server.start(lambda _: display.stage("starting Label Studio and drawing phantoms"))
        return drawing.wait(lambda done, total: display.stage("drawing phantoms", f"{done} of {total}"))


def _start_service(
    options: DemoOptions,
    folder: Path,
    collection: DemoImages,
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
        order=lambda _, config: Order(wanted(settings, config).highest_first),
    )
    config = parse(client.project(project)["label_config"])
    truth = {uploaded[name]: sample for name, sample in names.items()}
    annotator = SimulatedAnnotator(client, project, connection.view, config, truth)
    database = Database(settings.effective_database_url)
    stack.callback(database.close)
    weights = WeightStore(settings.effective_store_url, settings.weights_cache_dir)
    patience = 900 + 10 * options.seconds
    return Loop(settings, database, weights, annotator, collection, processes, display, patience), connection


def _environment(options: DemoOptions, folder: Path, server: LabelStudioServer) -> dict[str, str]:
    """The service's settings; those that would point it to other servers are emptied."""
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
        # The demo waits for the end of each round; see its table.
        "LEARN_FROM": "0",
        # Nothing waits while it looks at the last masks, but it would go on after the end.
        "EXAMINE_FROM": "0",
        "RETRAIN_EVERY": str(options.per_round),
        "NETWORK_WIDTH": str(options.width),
        "IMAGE_SIZE": str(options.size),
        "TRAIN_SECONDS": str(options.seconds),
        "TRAIN_STEPS": "" if options.steps is None else str(options.steps),
        "SEED": str(options.seed),
        "STRATEGY": options.strategy,
        # The shipped weights were trained on such phantoms and would leave nothing to learn.
        "INITIAL_WEIGHTS": "none",
    }


def _run_rounds(options: DemoOptions, loop: Loop) -> list[RoundResults]:
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


def _show(options: DemoOptions, display: Display, rounds: list[RoundResults]) -> None:
    display.print(round_table(rounds[-1], options.rounds))
    if options.report is not None:
        write_report(options.report, _report_settings(options), rounds)


def _report_settings(options: DemoOptions) -> dict[str, Any]:
    """The options that were given, as values for JSON."""
    given = {name: value for name, value in asdict(options).items() if value is not None}
    return {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}


def _print_login(display: Display, server: LabelStudioServer, connection: Connection) -> None:
    display.print(
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
