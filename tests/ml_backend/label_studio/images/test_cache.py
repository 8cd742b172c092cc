"""Images in data URIs, and the cache of other images under concurrency."""

from __future__ import annotations

import base64
import multiprocessing
import os
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
import pytest

from ml_backend.label_studio.images.cache import CacheBound, ImageCache, ImageUnavailable
from ml_backend.label_studio.images.reader import ImageReader
from tests.ml_backend.label_studio.images.fetching import CONFIG, downloader, fetch, files
from tests.ml_backend.label_studio.images.image_server import IMAGE, Server, answer


@pytest.mark.parametrize(
    "address",
    [
        f"data:image/png;base64,{base64.b64encode(IMAGE).decode()}",
        f"data:;BASE64,{base64.b64encode(IMAGE).decode().rstrip('=')}",
        f"DATA:image/png;x=y;base64,{base64.encodebytes(IMAGE).decode()}",
        f"data:image/png;base64,{quote(base64.b64encode(IMAGE).decode())}",
        f"data:image/png,{quote(IMAGE)}",
    ],
)
def test_data_uris_are_decoded_and_not_cached(cache: ImageCache, studio: Server, address: str) -> None:
    assert fetch(cache, address) == IMAGE
    assert files(cache) == []
    cache.forget(7, {"image": address}, CONFIG)
    assert studio.requests == []


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("data:image/png;base64", "has no comma"),
        ("data:image/png;base64,", "is empty"),
        ("data:image/png;base64,#", "not valid base64"),
        (f"data:image/png;base64,{'A' * (1 << 21)}", "larger than the 1048576 bytes"),
    ],
)
def test_invalid_data_uris_are_reported(cache: ImageCache, address: str, reason: str) -> None:
    with pytest.raises(ImageUnavailable, match=reason) as refused:
        fetch(cache, address)
    assert len(str(refused.value)) < 200


def test_an_image_is_fetched_once(cache: ImageCache, studio: Server) -> None:
    for _ in range(3):
        assert fetch(cache, "/data/upload/1/a.png") == IMAGE
    assert len(studio.requests) == 1


def test_simultaneous_fetches_of_one_address_make_one_request(cache: ImageCache, studio: Server) -> None:
    def slow(handler: BaseHTTPRequestHandler) -> None:
        time.sleep(0.3)
        answer()(handler)

    studio.routes["/data/upload/1/a.png"] = slow
    with ThreadPoolExecutor(8) as pool:
        bodies = list(pool.map(lambda _: fetch(cache, "/data/upload/1/a.png"), range(8)))
    assert bodies == [IMAGE] * 8
    assert len(studio.requests) == 1


def _fetch_elsewhere(root: Path, url: str) -> bool:
    cache = ImageCache(root, downloader(), base_url=url, project=1)
    return all(fetch(cache, f"/data/upload/1/{number % 3}.png") == IMAGE for number in range(30))


def test_processes_share_the_cache(tmp_path: Path, studio: Server) -> None:
    for number in range(3):
        studio.routes[f"/data/upload/1/{number}.png"] = answer()
    with multiprocessing.get_context("spawn").Pool(3) as pool:
        assert all(pool.starmap(_fetch_elsewhere, [(tmp_path, studio.url)] * 3))
    assert len(studio.requests) == 3


def test_projects_do_not_share_images(tmp_path: Path, studio: Server) -> None:
    for project in (1, 2):
        cache = ImageCache(tmp_path, downloader(), base_url=studio.url, project=project)
        fetch(cache, "/data/upload/1/a.png")
    assert len(studio.requests) == 2


def test_the_least_recently_used_images_are_evicted_first(tmp_path: Path, studio: Server) -> None:
    cache = ImageCache(
        tmp_path, downloader(), base_url=studio.url, project=1, bound=CacheBound(tmp_path, 10 * len(IMAGE))
    )
    for number in range(20):
        studio.routes[f"/data/upload/1/{number}.png"] = answer()
        fetch(cache, f"/data/upload/1/{number}.png")
        fetch(cache, "/data/upload/1/0.png")
        assert sum(path.stat().st_size for path in files(cache)) <= 10 * len(IMAGE)
    assert len(files(cache)) >= 8
    assert len(studio.tokens("/data/upload/1/0.png")) == 1
    fetch(cache, "/data/upload/1/1.png")
    assert len(studio.tokens("/data/upload/1/1.png")) == 2


def test_an_image_larger_than_the_cache_is_still_served(tmp_path: Path, studio: Server) -> None:
    cache = ImageCache(
        tmp_path, downloader(), base_url=studio.url, project=1, bound=CacheBound(tmp_path, 100)
    )
    assert fetch(cache, "/data/upload/1/a.png") == IMAGE
    assert files(cache) == []


def test_partial_files_of_a_killed_process_are_deleted_and_never_served(
    cache: ImageCache, studio: Server
) -> None:
    fetch(cache, "/data/upload/1/a.png")
    folder = files(cache)[0].parent
    old, young = folder / ".part-old", folder / ".part-young"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    bound = CacheBound(cache._root, 10**9)
    again = ImageCache(cache._root, downloader(), base_url=studio.url, project=1, bound=bound)
    studio.routes["/data/upload/1/b.png"] = answer()
    assert fetch(again, "/data/upload/1/b.png") == IMAGE
    assert not old.exists()
    assert young.exists()


def test_a_forgotten_image_is_fetched_again(cache: ImageCache, studio: Server) -> None:
    fetch(cache, "/data/upload/1/a.png")
    cache.forget(7, {"image": "/data/upload/1/a.png"}, CONFIG)
    fetch(cache, "/data/upload/1/a.png")
    assert len(studio.requests) == 2


def test_the_folder_is_not_read_again_for_every_image(
    tmp_path: Path, studio: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Reading it costs more than an image once it has thousands of files."""
    checks: list[CacheBound] = []

    def read_folder(bound: CacheBound) -> Iterator[Any]:
        checks.append(bound)
        return iter(())

    def read_images(names: Iterable[str]) -> None:
        """As a process does that has just started."""
        reader = ImageReader(downloader(), studio.url, tmp_path, cache_bytes=10**9, pixels=10**8)
        for number, name in enumerate(names):
            address = f"/data/upload/1/{name}.png"
            studio.routes[address] = answer(body=png)
            reader.read(1, number, {"image": address}, CONFIG)

    monkeypatch.setattr(CacheBound, "_entries", read_folder)
    png = cv2.imencode(".png", np.zeros((4, 4), np.uint8))[1].tobytes()
    for process in range(3):
        read_images(f"{process}-{number}" for number in range(10))
    assert len(checks) == 1
    # Many short processes never write enough to check of their own accord.
    os.utime(tmp_path / "checked", (0, 0))
    read_images(["late"])
    assert len(checks) == 2
