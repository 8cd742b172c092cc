"""Misbehaving servers over real HTTP: endless, truncated and compressed bodies, stalls, and other content."""

from __future__ import annotations

import gzip
import threading
import time
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from ml_backend.label_studio.images.cache import ImageCache, ImageUnavailable
from tests.ml_backend.label_studio.images.fetching import downloader, fetch, files
from tests.ml_backend.label_studio.images.image_server import IMAGE, Route, Server, answer, redirect


def test_an_endless_body_is_cut_off(cache: ImageCache, elsewhere: Server, tmp_path: Path) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(bytes(1 << 16))

    elsewhere.routes["/endless"] = endless
    with pytest.raises(ImageUnavailable, match="is larger than the 1048576 bytes allowed") as refused:
        fetch(cache, f"{elsewhere.url}/endless?signature=secret")
    assert "secret" not in str(refused.value)
    assert files(cache) == []


def test_a_body_announced_too_large_is_not_read(cache: ImageCache, elsewhere: Server) -> None:
    elsewhere.routes["/large"] = answer(b"x", Content_Length=str(10**15))
    with pytest.raises(ImageUnavailable, match="is larger than"):
        fetch(cache, f"{elsewhere.url}/large")


def test_a_compressed_bomb_is_cut_off(cache: ImageCache, elsewhere: Server) -> None:
    elsewhere.routes["/bomb"] = answer(gzip.compress(bytes(1 << 26)), Content_Encoding="gzip")
    with pytest.raises(ImageUnavailable, match="is larger than"):
        fetch(cache, f"{elsewhere.url}/bomb")


def test_a_compressed_image_is_decompressed(cache: ImageCache, elsewhere: Server) -> None:
    elsewhere.routes["/packed"] = answer(gzip.compress(IMAGE), Content_Encoding="gzip")
    assert fetch(cache, f"{elsewhere.url}/packed") == IMAGE


def test_a_chunked_body_is_read_completely(cache: ImageCache, elsewhere: Server) -> None:
    def chunked(handler: BaseHTTPRequestHandler) -> None:
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for start in range(0, len(IMAGE), 1000):
            piece = IMAGE[start : start + 1000]
            handler.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        handler.wfile.write(b"0\r\n\r\n")

    elsewhere.routes["/chunked"] = chunked
    assert fetch(cache, f"{elsewhere.url}/chunked") == IMAGE


def test_a_trickling_download_times_out(tmp_path: Path, elsewhere: Server) -> None:
    def drip(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        for _ in range(200):
            handler.wfile.write(b"x")
            time.sleep(0.05)

    elsewhere.routes["/drip"] = drip
    cache = ImageCache(tmp_path, downloader(seconds=0.5), base_url="http://studio", project=1)
    start = time.monotonic()
    with pytest.raises(ImageUnavailable, match=r"was not delivered within 0\.5 seconds") as refused:
        fetch(cache, f"{elsewhere.url}/drip")
    assert refused.value.transient
    assert time.monotonic() - start < 5


def test_a_stalled_server_times_out(tmp_path: Path, elsewhere: Server) -> None:
    released = threading.Event()

    def silent(handler: BaseHTTPRequestHandler) -> None:
        released.wait(20)

    elsewhere.routes["/silent"] = silent
    cache = ImageCache(tmp_path, downloader(seconds=0.5), base_url="http://studio", project=1)
    with pytest.raises(ImageUnavailable, match="was not delivered") as refused:
        fetch(cache, f"{elsewhere.url}/silent")
    released.set()
    assert refused.value.transient


def test_a_truncated_body_is_never_cached(cache: ImageCache, elsewhere: Server) -> None:
    elsewhere.routes["/short"] = answer(Content_Length=str(len(IMAGE) + 1))
    with pytest.raises(ImageUnavailable, match="cannot be read") as refused:
        fetch(cache, f"{elsewhere.url}/short")
    assert refused.value.transient
    assert files(cache) == []
    elsewhere.routes["/short"] = answer()
    assert fetch(cache, f"{elsewhere.url}/short") == IMAGE


def test_a_body_beyond_its_length_ends_at_its_length(cache: ImageCache, elsewhere: Server) -> None:
    elsewhere.routes["/long"] = answer(IMAGE + b"more", Content_Length=str(len(IMAGE)))
    assert fetch(cache, f"{elsewhere.url}/long") == IMAGE


@pytest.mark.parametrize(
    ("route", "reason", "transient"),
    [
        (answer(b"no", 404), "answers HTTP 404", False),
        (answer(b"no", 403), "answers HTTP 403", False),
        (answer(b"no", 503), "answers HTTP 503", True),
        (answer(b"no", 429), "answers HTTP 429", True),
        (answer(b""), "is empty", False),
        (answer(b"<html>", Content_Type="text/html; charset=utf-8"), "answers with text/html", False),
        (redirect("/route"), "redirects more than 5 times", False),
        (redirect("file:///etc/passwd"), "which is not an http", False),
        (redirect("http://["), "cannot be read", False),
    ],
)
def test_a_failed_download_is_reported_with_task_and_reason(
    cache: ImageCache, elsewhere: Server, route: Route, reason: str, transient: bool
) -> None:
    elsewhere.routes["/route"] = route
    with pytest.raises(ImageUnavailable, match=reason) as refused:
        fetch(cache, f"{elsewhere.url}/route", task=31)
    assert "task 31" in str(refused.value)
    assert refused.value.transient is transient


def test_an_unknown_host_is_a_transient_error(cache: ImageCache) -> None:
    with pytest.raises(ImageUnavailable, match=r"a b\.png cannot be reached \(Conn") as refused:
        fetch(cache, "http://127.0.0.1:1/a b.png")
    assert refused.value.transient


def test_an_unreachable_storage_is_named(cache: ImageCache, studio: Server) -> None:
    studio.routes["/tasks/7/resolve/"] = redirect("http://127.0.0.1:1/bucket/a.png?signature=secret")
    with pytest.raises(ImageUnavailable) as refused:
        fetch(cache, "s3://bucket/a.png")
    told = "s3://bucket/a.png cannot be reached at http://127.0.0.1:1/bucket/a.png (ConnectionError)"
    assert told in str(refused.value)
