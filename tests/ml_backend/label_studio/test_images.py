"""Images over real HTTP: bounds, redirects, what happens to the token, and the cache under concurrency."""

import base64
import gzip
import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from ml_backend.label_studio.downloads import Downloader
from ml_backend.label_studio.hosts import ImageHosts
from ml_backend.label_studio.images import ImageCache, ImageUnavailable
from ml_backend.label_studio.label_config import default_config, parse
from ml_backend.label_studio.tokens import LegacyToken, PersonalAccessToken

CONFIG = parse(default_config(["Bone"]))
TOKEN = "Token secret"
IMAGE = bytes(range(256)) * 40

Route = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Server:
    """A local HTTP server with the requests it has seen."""

    url: str
    routes: dict[str, Route]
    requests: list[tuple[str, str | None]] = field(default_factory=list)

    def tokens(self, path: str) -> list[str | None]:
        return [token for seen, token in self.requests if seen == path]


def answer(body: bytes = IMAGE, status: int = 200, **headers: str) -> Route:
    def route(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        headers.setdefault("Content_Length", str(len(body)))
        for name, value in headers.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()
        handler.wfile.write(body)

    return route


def redirect(target: str) -> Route:
    return answer(b"", 302, Location=target)


def start_server() -> tuple[Server, ThreadingHTTPServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = self.path.partition("?")[0]
            server.requests.append((path, self.headers["Authorization"]))
            try:
                server.routes.get(path, answer(b"no", 404))(self)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    http.daemon_threads = True
    server = Server(f"http://127.0.0.1:{http.server_port}", {})
    threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True).start()
    return server, http


@pytest.fixture
def servers() -> Iterator[list[Server]]:
    started = [start_server() for _ in range(2)]
    yield [server for server, _ in started]
    for _, http in started:
        http.shutdown()
        http.server_close()


@pytest.fixture
def studio(servers: list[Server]) -> Server:
    servers[0].routes["/data/upload/1/a.png"] = answer()
    return servers[0]


@pytest.fixture
def elsewhere(servers: list[Server]) -> Server:
    servers[1].routes["/a.png"] = answer()
    return servers[1]


def downloader(seconds: float = 5.0, max_bytes: int = 1 << 20) -> Downloader:
    return Downloader(LegacyToken("secret"), seconds=seconds, max_bytes=max_bytes)


@pytest.fixture
def cache(tmp_path: Path, studio: Server) -> ImageCache:
    return ImageCache(tmp_path / "cache", downloader(), base_url=studio.url, project=1)


def fetch(cache: ImageCache, address: Any, task: int = 7) -> bytes:
    return cache.fetch(task, {"image": address}, CONFIG)


def files(cache: ImageCache) -> list[Path]:
    return list(cache._root.glob("[0-9]*/[0-9a-f][0-9a-f]/*"))


# The token


def test_the_token_reaches_label_studio_and_nobody_else(
    cache: ImageCache, studio: Server, elsewhere: Server
) -> None:
    assert fetch(cache, "/data/upload/1/a.png") == IMAGE
    assert studio.tokens("/data/upload/1/a.png") == [TOKEN]
    assert fetch(cache, f"{elsewhere.url}/a.png") == IMAGE
    assert elsewhere.tokens("/a.png") == [None]


def test_the_token_does_not_follow_a_redirect_to_another_host(
    cache: ImageCache, studio: Server, elsewhere: Server
) -> None:
    studio.routes["/data/upload/1/moved.png"] = redirect(f"{elsewhere.url}/a.png?signature=1")
    assert fetch(cache, "/data/upload/1/moved.png") == IMAGE
    assert studio.tokens("/data/upload/1/moved.png") == [TOKEN]
    assert elsewhere.tokens("/a.png") == [None]


def test_the_token_does_not_come_back_by_a_redirect(
    cache: ImageCache, studio: Server, elsewhere: Server
) -> None:
    elsewhere.routes["/back.png"] = redirect(f"{studio.url}/data/upload/1/a.png")
    studio.routes["/data/upload/1/moved.png"] = redirect(f"{elsewhere.url}/back.png")
    assert fetch(cache, f"{elsewhere.url}/back.png", task=1) == IMAGE
    assert fetch(cache, "/data/upload/1/moved.png", task=2) == IMAGE
    assert studio.tokens("/data/upload/1/a.png") == [None, None]
    assert elsewhere.tokens("/back.png") == [None, None]


def test_a_netrc_lends_no_credentials(
    cache: ImageCache, elsewhere: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    fetch(cache, f"{elsewhere.url}/a.png")
    assert elsewhere.tokens("/a.png") == [None]


def test_the_token_follows_a_redirect_within_label_studio(cache: ImageCache, studio: Server) -> None:
    studio.routes["/data/upload/1/moved.png"] = redirect("a.png")
    assert fetch(cache, "/data/upload/1/moved.png") == IMAGE
    assert studio.tokens("/data/upload/1/a.png") == [TOKEN]


def test_a_refused_token_is_renewed_once(tmp_path: Path, studio: Server) -> None:
    bought = iter(["stale", "fresh", "never asked for"])
    credentials = PersonalAccessToken("pat", lambda _: next(bought))
    cache = ImageCache(tmp_path, Downloader(credentials), base_url=studio.url, project=1)

    def route(handler: BaseHTTPRequestHandler) -> None:
        answer(*((IMAGE, 200) if handler.headers["Authorization"] == "Bearer fresh" else (b"", 401)))(handler)

    studio.routes["/data/upload/1/a.png"] = route
    assert fetch(cache, "/data/upload/1/a.png") == IMAGE
    assert studio.tokens("/data/upload/1/a.png") == ["Bearer stale", "Bearer fresh"]
    studio.routes["/data/upload/1/b.png"] = answer(b"", 401)
    with pytest.raises(ImageUnavailable, match="answers HTTP 401"):
        fetch(cache, "/data/upload/1/b.png")
    assert len(studio.tokens("/data/upload/1/b.png")) == 2


def test_cookies_stay_where_they_are_even_on_another_port(
    cache: ImageCache, studio: Server, elsewhere: Server
) -> None:
    moved = answer(b"", 302, Location=f"{elsewhere.url}/a.png", Set_Cookie="sessionid=secret; Path=/")
    studio.routes["/data/upload/1/moved.png"] = moved
    seen: list[str | None] = []

    def route(handler: BaseHTTPRequestHandler) -> None:
        seen.append(handler.headers["Cookie"])
        answer()(handler)

    elsewhere.routes["/a.png"] = route
    assert fetch(cache, "/data/upload/1/moved.png") == IMAGE
    assert seen == [None]


# Which hosts are asked


def test_where_label_studio_redirects_need_not_be_listed_but_what_follows_must(
    tmp_path: Path, studio: Server, elsewhere: Server
) -> None:
    listed = Downloader(LegacyToken("secret"), hosts=ImageHosts.parse("images.example.org"))
    cache = ImageCache(tmp_path, listed, base_url=studio.url, project=1)
    assert fetch(cache, "/data/upload/1/a.png") == IMAGE
    studio.routes["/data/upload/1/moved.png"] = redirect(f"{elsewhere.url}/a.png")
    assert fetch(cache, "/data/upload/1/moved.png") == IMAGE
    elsewhere.routes["/on.png"] = redirect(f"{elsewhere.url}/a.png")
    studio.routes["/data/upload/1/twice.png"] = redirect(f"{elsewhere.url}/on.png")
    for address in ("/data/upload/1/twice.png", f"{elsewhere.url}/a.png"):
        with pytest.raises(ImageUnavailable, match="IMAGE_HOSTS lists neither 127"):
            fetch(cache, address)


def test_no_redirect_leads_to_cloud_metadata(cache: ImageCache, studio: Server, elsewhere: Server) -> None:
    for server, path in ((studio, "/data/upload/1/m.png"), (elsewhere, "/m.png")):
        server.routes[path] = redirect("http://169.254.169.254/latest/meta-data/")
        with pytest.raises(ImageUnavailable, match="an address for cloud metadata"):
            fetch(cache, f"{server.url}{path}")


# Data URIs


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
def test_data_uris_are_unpacked_and_not_kept(cache: ImageCache, studio: Server, address: str) -> None:
    assert fetch(cache, address) == IMAGE
    assert files(cache) == []
    cache.forget(7, {"image": address}, CONFIG)
    assert studio.requests == []


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("data:image/png;base64", "has no comma"),
        ("data:image/png;base64,", "is empty"),
        ("data:image/png;base64,#", "no base64"),
        (f"data:image/png;base64,{'A' * (1 << 21)}", "more than the 1048576 bytes"),
    ],
)
def test_data_uris_that_hold_no_image_are_told(cache: ImageCache, address: str, told: str) -> None:
    with pytest.raises(ImageUnavailable, match=told) as refused:
        fetch(cache, address)
    assert len(str(refused.value)) < 200


# What servers may do


def test_an_endless_body_is_cut_off(cache: ImageCache, elsewhere: Server, tmp_path: Path) -> None:
    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(bytes(1 << 16))

    elsewhere.routes["/endless"] = endless
    with pytest.raises(ImageUnavailable, match="holds more than the 1048576 bytes allowed") as refused:
        fetch(cache, f"{elsewhere.url}/endless?signature=secret")
    assert "secret" not in str(refused.value)
    assert files(cache) == []


def test_a_body_announced_too_large_is_not_read(cache: ImageCache, elsewhere: Server) -> None:
    elsewhere.routes["/large"] = answer(b"x", Content_Length=str(10**15))
    with pytest.raises(ImageUnavailable, match="holds more than"):
        fetch(cache, f"{elsewhere.url}/large")


def test_a_compressed_bomb_is_cut_off(cache: ImageCache, elsewhere: Server) -> None:
    elsewhere.routes["/bomb"] = answer(gzip.compress(bytes(1 << 26)), Content_Encoding="gzip")
    with pytest.raises(ImageUnavailable, match="holds more than"):
        fetch(cache, f"{elsewhere.url}/bomb")


def test_a_compressed_image_is_unpacked(cache: ImageCache, elsewhere: Server) -> None:
    elsewhere.routes["/packed"] = answer(gzip.compress(IMAGE), Content_Encoding="gzip")
    assert fetch(cache, f"{elsewhere.url}/packed") == IMAGE


def test_a_chunked_body_is_read_whole(cache: ImageCache, elsewhere: Server) -> None:
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


def test_a_drip_is_given_up_in_time(tmp_path: Path, elsewhere: Server) -> None:
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


def test_a_silent_server_is_given_up_in_time(tmp_path: Path, elsewhere: Server) -> None:
    released = threading.Event()

    def silent(handler: BaseHTTPRequestHandler) -> None:
        released.wait(20)

    elsewhere.routes["/silent"] = silent
    cache = ImageCache(tmp_path, downloader(seconds=0.5), base_url="http://studio", project=1)
    with pytest.raises(ImageUnavailable, match="was not delivered") as refused:
        fetch(cache, f"{elsewhere.url}/silent")
    released.set()
    assert refused.value.transient


def test_a_truncated_body_is_never_kept(cache: ImageCache, elsewhere: Server) -> None:
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
        (redirect("file:///etc/passwd"), "which is no http", False),
        (redirect("http://["), "cannot be read", False),
    ],
)
def test_what_is_no_image_is_told_by_task_and_reason(
    cache: ImageCache, elsewhere: Server, route: Route, reason: str, transient: bool
) -> None:
    elsewhere.routes["/route"] = route
    with pytest.raises(ImageUnavailable, match=reason) as refused:
        fetch(cache, f"{elsewhere.url}/route", task=31)
    assert "task 31" in str(refused.value)
    assert refused.value.transient is transient


def test_a_host_that_is_not_there_is_worth_another_try(cache: ImageCache) -> None:
    with pytest.raises(ImageUnavailable, match=r"a b\.png cannot be reached \(Conn") as refused:
        fetch(cache, "http://127.0.0.1:1/a b.png")
    assert refused.value.transient


def test_a_storage_that_is_not_there_is_named(cache: ImageCache, studio: Server) -> None:
    studio.routes["/tasks/7/resolve/"] = redirect("http://127.0.0.1:1/bucket/a.png?signature=secret")
    with pytest.raises(ImageUnavailable) as refused:
        fetch(cache, "s3://bucket/a.png")
    told = "s3://bucket/a.png cannot be reached at http://127.0.0.1:1/bucket/a.png (ConnectionError)"
    assert told in str(refused.value)


# The cache


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


def test_the_least_recently_used_images_go_first(tmp_path: Path, studio: Server) -> None:
    cache = ImageCache(tmp_path, downloader(), base_url=studio.url, project=1, cache_bytes=10 * len(IMAGE))
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
    cache = ImageCache(tmp_path, downloader(), base_url=studio.url, project=1, cache_bytes=100)
    assert fetch(cache, "/data/upload/1/a.png") == IMAGE
    assert files(cache) == []


def test_what_a_killed_process_left_is_cleaned_up_but_never_served(cache: ImageCache, studio: Server) -> None:
    fetch(cache, "/data/upload/1/a.png")
    folder = files(cache)[0].parent
    old, young = folder / ".part-old", folder / ".part-young"
    for path in (old, young):
        path.write_bytes(b"half")
    os.utime(old, (0, 0))
    again = ImageCache(cache._root, downloader(), base_url=studio.url, project=1)
    studio.routes["/data/upload/1/b.png"] = answer()
    assert fetch(again, "/data/upload/1/b.png") == IMAGE
    assert not old.exists()
    assert young.exists()


def test_a_forgotten_image_is_fetched_again(cache: ImageCache, studio: Server) -> None:
    fetch(cache, "/data/upload/1/a.png")
    cache.forget(7, {"image": "/data/upload/1/a.png"}, CONFIG)
    fetch(cache, "/data/upload/1/a.png")
    assert len(studio.requests) == 2
