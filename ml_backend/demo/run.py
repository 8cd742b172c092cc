"""The whole demo: bring everything up, play the rounds, say where to log in, take everything down."""

from __future__ import annotations

import secrets
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout
from rich.console import Console

from ml_backend.demo.annotator import Annotator
from ml_backend.demo.collection import Collection, draw_phantoms, own_images
from ml_backend.demo.loop import DemoError, Loop
from ml_backend.demo.processes import Processes, free_port
from ml_backend.demo.report import Round, print_round, write_report
from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.connection import Connection, connect
from ml_backend.label_studio.label_config import parse
from ml_backend.label_studio.server import LabelStudioServer
from ml_backend.settings import Settings
from ml_backend.store.database import Database
from ml_backend.store.weights import WeightStore

PROJECT = "dsal demo"
LABEL_STUDIO_PORT = 8080
BACKEND_PORT = 9090


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
    seed: int
    folder: Path
    label_studio: Path


def run_demo(options: DemoOptions) -> None:
    """Play the demo; whatever happens, all that it started is stopped.

    Raises:
        DemoError: another demo uses the folder, or the loop came to a stop.
        DatasetError, ProcessError, LabelStudioServerError, LabelStudioError: something could not be had.
    """
    console = Console(highlight=False)
    with ExitStack() as stack, console.status("") as status:
        stack.callback(_end_on_terminate())
        tell = _teller(console, status.update)
        folder = stack.enter_context(_own(options.folder))
        collection, server = _prepare(options, folder, tell, stack)
        loop, connection = _bring_up(options, folder, collection, server, tell, stack)
        rounds = _play(options, loop, console)
        status.stop()
        _say_goodbye(console, server, connection, rounds)
        if not options.leave:
            _wait_for_interrupt(loop.processes)


def _teller(console: Console, update: Callable[[str], None]) -> Callable[[str], None]:
    """Progress as a moving line on a terminal, and as a line for each new stage elsewhere."""
    began = time.monotonic()
    last = ""

    def tell(text: str) -> None:
        nonlocal last
        stage = text.partition(",")[0]
        if console.is_terminal:
            update(text)
        elif stage != last:
            last = stage
            console.print(f"[{time.monotonic() - began:5.0f} s] {text}", markup=False)

    return tell


def _end_on_terminate() -> Callable[[], None]:
    """Make SIGTERM end the demo as Ctrl-C does; returns what undoes it."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    former = signal.signal(signal.SIGTERM, interrupt)

    def undo() -> None:
        signal.signal(signal.SIGTERM, former)

    return undo


@contextmanager
def _own(folder: Path) -> Iterator[Path]:
    """An empty folder of our own; the data of the demo before it goes."""
    folder = folder.expanduser().resolve()
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f"{folder.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise DemoError(f"Another demo uses {folder}; end it, or give another --folder.") from error
    try:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        yield folder
    finally:
        lock.release()


def _prepare(
    options: DemoOptions, folder: Path, tell: Callable[[str], None], stack: ExitStack
) -> tuple[Collection, LabelStudioServer]:
    """Draw or read the images while Label Studio starts."""
    server = LabelStudioServer(
        options.label_studio.absolute(),
        folder / "label-studio",
        free_port(LABEL_STUDIO_PORT),
        templates=options.folder.parent / "templates",
    )
    failures: list[BaseException] = []

    def start() -> None:
        try:
            server.start()
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits
            failures.append(error)

    stack.callback(server.stop)
    starting = threading.Thread(target=start)
    starting.start()
    try:
        collection = _collect(options, folder, tell)
    finally:
        tell("starting Label Studio")
        starting.join()
    if failures:
        raise failures[0]
    return collection, server


def _collect(options: DemoOptions, folder: Path, tell: Callable[[str], None]) -> Collection:
    if options.images is not None and options.masks is not None:
        return own_images(options.images, options.masks, options.tasks, options.test, options.seed)
    return draw_phantoms(
        folder / "phantoms",
        options.tasks,
        options.test,
        options.seed,
        lambda done, total: tell(f"drawing phantoms, {done} of {total}"),
    )


def _bring_up(
    options: DemoOptions,
    folder: Path,
    collection: Collection,
    server: LabelStudioServer,
    tell: Callable[[str], None],
    stack: ExitStack,
) -> tuple[Loop, Connection]:
    environment = _environment(options, folder, server)
    settings = Settings.model_validate({name.lower(): value for name, value in environment.items() if value})
    processes = Processes(folder / "logs", environment)
    stack.callback(processes.stop)
    tell("starting the service and a worker")
    processes.start("serve", ["serve"])
    processes.start("worker", ["worker"])
    address = f"http://127.0.0.1:{settings.port}"
    processes.wait_until_healthy(f"{address}/health")
    client = LabelStudio(server.url, server.token)
    tell(f"uploading {len(collection.tasks)} images")
    project = int(client.create_project(PROJECT)["id"])
    files = {sample.image_path.name: sample.image_path.read_bytes() for sample in collection.tasks}
    uploaded = client.upload(project, files)
    tell("connecting the project")
    labels = [label.capitalize() for label in collection.labels]
    connection = connect(
        client, backend_url=address, project=project, labels=labels, basic_auth=settings.basic_auth
    )
    config = parse(client.project(project)["label_config"])
    truth = {uploaded[sample.image_path.name]: sample for sample in collection.tasks}
    annotator = Annotator(client, project, connection.view, config, truth)
    database = Database(settings.effective_database_url)
    stack.callback(database.close)
    weights = WeightStore(settings.effective_store_url, settings.weights_cache_dir)
    patience = 900 + 10 * options.seconds
    return Loop(settings, database, weights, annotator, collection, processes, tell, patience), connection


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
    }


def _play(options: DemoOptions, loop: Loop, console: Console) -> list[Round]:
    rounds = [loop.first_order()]
    about = {name: str(value) for name, value in asdict(options).items() if value is not None}
    print_round(console, rounds[0])
    for number in range(1, options.rounds + 1):
        result = loop.run(number, rounds[-1].labels, options.per_round)
        if result is None:
            console.print("Every task is labelled.")
            break
        rounds.append(result)
        print_round(console, result)
        if options.report is not None:
            write_report(options.report, about, rounds)
    return rounds


def _say_goodbye(
    console: Console, server: LabelStudioServer, connection: Connection, rounds: list[Round]
) -> None:
    for result in rounds[1:]:
        dsc = "–" if result.test_dsc is None else f"{result.test_dsc:.3f}"
        console.print(f"{result.labels} labels: test DSC {dsc}, version {result.version}")
    console.print(
        f"\nLabel Studio: {server.url}/projects/{connection.project}/data?tab={connection.view}\n"
        f"Log in as {server.email} with password {server.password}\n"
        'Press "Label Tasks As Displayed" to get the most informative image first.',
        soft_wrap=True,
    )


def _wait_for_interrupt(processes: Processes) -> None:
    sys.stdout.write("Ctrl-C stops everything.\n")
    sys.stdout.flush()
    while True:
        processes.check()
        time.sleep(1)
