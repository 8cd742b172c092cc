"""A real Label Studio for all tests of this folder, started once a session."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.server import LabelStudioServer

ROOT = Path(__file__).parents[2]
CONFIG = """<View>
  <Image name="image" value="$image"/>
  <BrushLabels name="mask" toName="image"><Label value="Bone"/></BrushLabels>
</View>"""


@pytest.fixture(scope="session")
def executable() -> Path:
    """The `label-studio` command: DSAL_LABEL_STUDIO, or the project's own environment for it."""
    default = ROOT / ".venv-label-studio" / "bin" / "label-studio"
    path = Path(os.environ.get("DSAL_LABEL_STUDIO", default))
    if not path.exists():
        pytest.fail(f"There is no {path}: `make test` installs Label Studio, or set DSAL_LABEL_STUDIO.")
    return path


@pytest.fixture(scope="session")
def templates() -> Path:
    """Where migrated empty databases are kept between sessions."""
    return ROOT / ".dsal" / "label-studio-templates"


@pytest.fixture(scope="session")
def server(
    executable: Path, templates: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[LabelStudioServer]:
    """The running Label Studio with a user and a token."""
    server = LabelStudioServer(executable, tmp_path_factory.mktemp("label-studio"), templates=templates)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def client(server: LabelStudioServer) -> LabelStudio:
    """A client of that Label Studio."""
    return LabelStudio(server.url, server.token)


@pytest.fixture
def project(client: LabelStudio) -> Iterator[int]:
    """A fresh, empty project with a usable labeling config."""
    number = client.create_project("Test", CONFIG)["id"]
    yield number
    client.delete_project(number)


@pytest.fixture
def make_tasks(client: LabelStudio, project: int) -> Callable[[int], list[int]]:
    """A function that adds tasks to the project and returns their ids."""

    def make(count: int) -> list[int]:
        data: list[dict[str, Any]] = [{"image": f"http://localhost:1/{n}.png"} for n in range(count)]
        return client.create_tasks(project, data)

    return make
