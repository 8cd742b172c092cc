"""The service and one worker or more, connected to a project of a real Label Studio."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from ml_backend.demo.images import DemoImages, upload_names
from ml_backend.demo.label_studio import LabelStudioServer
from ml_backend.demo.processes import Processes, adopt_orphans, end_descendants, free_port
from ml_backend.label_studio.blueprint import Order
from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import LabelConfig
from ml_backend.label_studio.config import parse as parse_config
from ml_backend.label_studio.connection import connect
from ml_backend.queue.kinds import Lane
from ml_backend.settings import Settings
from ml_backend.store import versions
from ml_backend.store.database import Database
from ml_backend.store.models import Version
from ml_backend.work.lanes import NICENESS
from model.strategies import parse as parse_strategy
from model.training.dataset import FolderSample

PASSWORD = "benchmark"


@dataclass
class ConnectedProject:
    """A running service and its project.

    Attributes:
        client: of Label Studio.
        database: of the service.
        settings: of the service.
        processes: the service and its workers.
        project, view: Label Studio's ids.
        config: the project's labeling config.
        truth: the images and true masks, by task.
    """

    client: LabelStudio
    database: Database
    settings: Settings
    processes: Processes
    project: int
    view: int
    config: LabelConfig
    truth: dict[int, FolderSample]

    def published(self) -> Version | None:
        """The published version."""
        with self.database.read() as session:
            return versions.published(session, self.project)

    def web_rss(self) -> int:
        """Resident memory of the web service in MB, of its largest process."""
        return _largest("serve")

    def quick_rss(self) -> int:
        """Resident memory in MB of a worker's largest quick job: those, and only those, have its niceness."""
        return _largest("worker", NICENESS[Lane.QUICK])

    def worker_pss(self) -> int:
        """Memory in MB of a worker with all its processes; what they share counts once."""
        total = 0
        for one in _running("worker"):
            with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
                total += int(one.memory_full_info().pss)
        return total >> 20


@contextmanager
def started_label_studio(command: Path) -> Iterator[tuple[LabelStudioServer, Path]]:
    """Start the Label Studio that `command` runs, in a new folder; yields it and the folder.

    Both end with the block, as do all processes that were started in it.

    Raises:
        SystemExit: there is no such command.
    """
    adopt_orphans()
    with ExitStack() as stack:
        stack.callback(end_descendants, 10.0)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        server = LabelStudioServer(_label_studio_command(command), folder / "label-studio")
        stack.callback(server.stop)
        server.start(lambda stage: print(stage, flush=True))
        yield server, folder


@contextmanager
def connected(
    server: LabelStudioServer,
    images: DemoImages,
    folder: Path,
    title: str,
    environment: Mapping[str, str],
    *,
    workers: int = 1,
) -> Iterator[ConnectedProject]:
    """Start a service with `environment`, and connect a new project with these images to it."""
    full = {
        "LABEL_STUDIO_URL": server.url,
        "LABEL_STUDIO_API_KEY": server.token,
        "MODEL_DIR": str(folder),
        "DATABASE_URL": "",
        "REDIS_URL": "",
        "STORE_URL": "",
        "HOST": "127.0.0.1",
        "PORT": str(free_port()),
        "BASIC_AUTH_USER": "label-studio",
        "BASIC_AUTH_PASS": PASSWORD,
        **environment,
    }
    settings = Settings.model_validate({key.lower(): value for key, value in full.items() if value})
    folder.mkdir(parents=True)
    with ExitStack() as stack:
        processes = Processes(folder / "logs", full)
        stack.callback(processes.stop)
        processes.start("service", ["serve"])
        address = f"http://127.0.0.1:{settings.port}"
        processes.wait_until_healthy(f"{address}/health")
        for number in range(workers):
            processes.start(f"worker-{number + 1}", ["worker"])
        client = LabelStudio(server.url, server.token)
        project = int(client.create_project(title)["id"])
        files = upload_names(images.tasks)
        uploaded = client.upload(project, {key: one.image_path.read_bytes() for key, one in files.items()})
        strategy = parse_strategy(settings.strategy)
        connection = connect(
            client,
            backend_url=address,
            project=project,
            labels=[label.capitalize() for label in images.labels],
            basic_auth=settings.basic_auth,
            order=lambda *_: Order(strategy.highest_first),
        )
        database = Database(settings.effective_database_url)
        stack.callback(database.close)
        yield ConnectedProject(
            client,
            database,
            settings,
            processes,
            project,
            connection.view,
            parse_config(client.project(project)["label_config"]),
            {uploaded[key]: sample for key, sample in files.items()},
        )


def _largest(command: str, niceness: int | None = None) -> int:
    """Resident memory in MB of the largest process that runs this command of `dsal`, with this niceness."""
    found = [0]
    for one in _running(command):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if niceness in (None, one.nice()):
                found.append(int(one.memory_info().rss) >> 20)
    return max(found)


def _running(command: str) -> Iterator[psutil.Process]:
    """The processes that run this command of `dsal`."""
    for one in psutil.Process(os.getpid()).children(recursive=True):
        with suppress(psutil.NoSuchProcess, psutil.ZombieProcess):
            if command in one.cmdline()[-1:]:
                yield one


def _label_studio_command(path: Path) -> Path:
    """The absolute path of the `label-studio` command.

    Raises:
        SystemExit: there is none.
    """
    if not path.is_file():
        raise SystemExit(f"There is no Label Studio at {path}: `scripts/setup.sh label-studio` installs it.")
    return path.absolute()
