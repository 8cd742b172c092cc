"""What several folders of tests need: the command, one Label Studio and one service a process of pytest.

`make test` runs two such processes side by side; groups.py says which tests stay in one, marks.py what a test
needs. pytest loads this file for every test, so it imports nothing that one folder of tests alone needs: each
fixture imports its own, and `tests/model` runs without Flask, Redis, the database and Label Studio's SDK.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

# Before torch is imported: threads of a network wait for each other, spinning, at every layer. On two busy
# cores one of the trainings that the tests of `model` share took 13 s in one thread and 72 s in two.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
from hypothesis import settings

from tests import keeper
from tests.crashes import ending
from tests.groups import rank
from tests.marks import marks_of
from tests.measured import told

if TYPE_CHECKING:
    from xdist.remote import Producer
    from xdist.workermanage import WorkerController

    from ml_backend.demo.label_studio import LabelStudioServer
    from tests.loop.board import Board
    from tests.loop.service import Service
    from tests.object_store import ObjectStore
    from tests.scheduling import GroupScheduling

ROOT = Path(__file__).parents[1]

# An example that takes 1 ms took 290 ms on two busy cores, and hypothesis allows 200: no test is timed.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")


def pytest_configure() -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # So it is in the background of a shell; tests send Ctrl-C to themselves and to what they start.
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> GroupScheduling:
    from tests.scheduling import GroupScheduling

    return GroupScheduling(config, log)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: WorkerController, error: object) -> None:
    if error:
        process = getattr(getattr(node.gateway, "_io", None), "popen", None)
        sys.stderr.write(f"\n[{node.gateway.id}] {ending(process)}\n")


# Before -m looks for marks.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        for mark in marks_of(item.nodeid, getattr(item, "fixturenames", ())):
            item.add_marker(mark)
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank(item.nodeid))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for kind in ("passed", "failed"):
        for line in told(terminalreporter.stats.get(kind, [])):
            terminalreporter.write_line(line)


@pytest.fixture(scope="session", autouse=True)
def nothing_stays(tmp_path_factory: pytest.TempPathFactory) -> None:
    """However this process ends, what it started ends as well."""
    keeper.hire(tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def label_studio() -> Path:
    """The `label-studio` command: DSAL_LABEL_STUDIO, or the one of the project's own environment for it."""
    path = Path(os.environ.get("DSAL_LABEL_STUDIO", ROOT / ".venv-label-studio" / "bin" / "label-studio"))
    if not path.exists():
        pytest.fail(f"There is no {path}: `make test` installs Label Studio, or set DSAL_LABEL_STUDIO.")
    return path


@pytest.fixture(scope="session")
def executable(label_studio: Path) -> Path:
    """The same command, for tests of what runs it."""
    return label_studio


@pytest.fixture(scope="session")
def templates() -> Path:
    """Where migrated empty databases are kept between sessions."""
    return ROOT / ".dsal" / "label-studio-templates"


@pytest.fixture(scope="session")
def google_storage() -> Iterator[str]:
    """Where Label Studio looks for Google Cloud Storage: an emulator in this process."""
    from gcp_storage_emulator.server import create_server

    from ml_backend.demo.processes import free_port

    port = free_port()
    with create_server("localhost", port, in_memory=True):
        yield f"http://localhost:{port}"


@pytest.fixture(scope="session")
def server(
    label_studio: Path, templates: Path, google_storage: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LabelStudioServer]:
    """The running Label Studio with a user and a token; it serves local files from below "documents"."""
    from ml_backend.demo.label_studio import LabelStudioServer

    download = "/download/storage/v1/b/{bucket_name}/o/{blob_name}?alt=media"
    folder = tmp_path_factory.mktemp("label-studio")
    (folder / "documents").mkdir()
    sources = {
        "LOCAL_FILES_SERVING_ENABLED": "true",
        "LOCAL_FILES_DOCUMENT_ROOT": str(folder / "documents"),
        "STORAGE_EMULATOR_HOST": google_storage,
        "RESOLVER_PROXY_GCS_DOWNLOAD_URL": google_storage + download,
    }
    server = LabelStudioServer(label_studio, folder, templates=templates, extra_env=sources)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def service(server: LabelStudioServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """The running service; every test has a project of its own in it."""
    from tests.loop.service import Service

    service = Service(server, tmp_path_factory.mktemp("service"))
    service.start()
    try:
        yield service
    finally:
        service.stop()


@pytest.fixture
def boards(service: Service) -> Iterator[list[Board]]:
    """A list for the projects that a test makes; they are deleted at its end."""
    from ml_backend.reconcile import lifecycle

    made: list[Board] = []
    yield made
    for board in made:
        lifecycle.archive(service.database, board.id)
        service.label_studio.delete_project(board.id)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ObjectStore]:
    """A running S3 server."""
    from tests.object_store import ObjectStore

    with ObjectStore(tmp_path_factory.mktemp("s3")) as store:
        yield store
