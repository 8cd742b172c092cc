"""Projects in the real Label Studio of the session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from ml_backend.demo.label_studio import LabelStudioServer
from ml_backend.label_studio.client import LabelStudio
from tests.label_studio.subpath_proxy import SubpathProxy

CONFIG = """<View>
  <Image name="image" value="$image"/>
  <BrushLabels name="mask" toName="image"><Label value="Bone"/></BrushLabels>
</View>"""


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


@pytest.fixture
def proxy(server: LabelStudioServer) -> Iterator[SubpathProxy]:
    with SubpathProxy(server.url) as proxy:
        yield proxy
