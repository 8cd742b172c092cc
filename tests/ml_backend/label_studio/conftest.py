"""Images over real HTTP: small servers for Label Studio and another host, and a cache in front of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_backend.label_studio.images.cache import ImageCache
from tests.ml_backend.label_studio.images.fetching import downloader
from tests.ml_backend.label_studio.images.image_server import Server, answer


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    with Server() as studio, Server() as elsewhere:
        yield [studio, elsewhere]


@pytest.fixture
def studio(servers: list[Server]) -> Server:
    servers[0].routes["/data/upload/1/a.png"] = answer()
    return servers[0]


@pytest.fixture
def elsewhere(servers: list[Server]) -> Server:
    servers[1].routes["/a.png"] = answer()
    return servers[1]


@pytest.fixture
def cache(tmp_path: Path, studio: Server) -> ImageCache:
    return ImageCache(tmp_path / "cache", downloader(), base_url=studio.url, project=1)
