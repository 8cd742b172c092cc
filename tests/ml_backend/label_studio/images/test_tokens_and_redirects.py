"""Which hosts get requests for images, and which get the token: over real HTTP, with redirects."""

from __future__ import annotations

from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from ml_backend.label_studio.images.cache import ImageCache, ImageUnavailable
from ml_backend.label_studio.images.downloads import Downloader
from ml_backend.label_studio.images.hosts import ImageHosts
from tests.ml_backend.label_studio.images.fetching import fetch, legacy_token
from tests.ml_backend.label_studio.images.image_server import IMAGE, Server, answer, redirect

TOKEN = "Token secret"


def test_the_token_is_sent_to_label_studio_only(cache: ImageCache, studio: Server, elsewhere: Server) -> None:
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


def test_the_token_is_not_sent_again_after_a_redirect_back(
    cache: ImageCache, studio: Server, elsewhere: Server
) -> None:
    elsewhere.routes["/back.png"] = redirect(f"{studio.url}/data/upload/1/a.png")
    studio.routes["/data/upload/1/moved.png"] = redirect(f"{elsewhere.url}/back.png")
    assert fetch(cache, f"{elsewhere.url}/back.png", task=1) == IMAGE
    assert fetch(cache, "/data/upload/1/moved.png", task=2) == IMAGE
    assert studio.tokens("/data/upload/1/a.png") == [None, None]
    assert elsewhere.tokens("/back.png") == [None, None]


def test_a_netrc_is_not_used_for_credentials(
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


class Renewable:
    """Credentials with a finite supply of access tokens, one used up per refusal."""

    def __init__(self, *tokens: str) -> None:
        self._tokens = list(tokens)

    def header(self) -> str:
        return f"Bearer {self._tokens[0]}"

    def renew(self, refused: str) -> bool:
        if refused == self.header() and len(self._tokens) > 1:
            del self._tokens[0]
        return True


def test_a_refused_token_is_renewed_once(tmp_path: Path, studio: Server) -> None:
    cache = ImageCache(tmp_path, Downloader(Renewable("stale", "fresh")), base_url=studio.url, project=1)

    def route(handler: BaseHTTPRequestHandler) -> None:
        answer(*((IMAGE, 200) if handler.headers["Authorization"] == "Bearer fresh" else (b"", 401)))(handler)

    studio.routes["/data/upload/1/a.png"] = route
    assert fetch(cache, "/data/upload/1/a.png") == IMAGE
    assert studio.tokens("/data/upload/1/a.png") == ["Bearer stale", "Bearer fresh"]
    studio.routes["/data/upload/1/b.png"] = answer(b"", 401)
    with pytest.raises(ImageUnavailable, match="answers HTTP 401"):
        fetch(cache, "/data/upload/1/b.png")
    assert len(studio.tokens("/data/upload/1/b.png")) == 2


def test_cookies_are_not_sent_to_another_port(cache: ImageCache, studio: Server, elsewhere: Server) -> None:
    moved = answer(b"", 302, Location=f"{elsewhere.url}/a.png", Set_Cookie="sessionid=secret; Path=/")
    studio.routes["/data/upload/1/moved.png"] = moved
    seen: list[str | None] = []

    def route(handler: BaseHTTPRequestHandler) -> None:
        seen.append(handler.headers["Cookie"])
        answer()(handler)

    elsewhere.routes["/a.png"] = route
    assert fetch(cache, "/data/upload/1/moved.png") == IMAGE
    assert seen == [None]


def test_a_redirect_target_of_label_studio_need_not_be_listed_but_the_next_must(
    tmp_path: Path, studio: Server, elsewhere: Server
) -> None:
    listed = Downloader(legacy_token(), hosts=ImageHosts.parse("images.example.org"))
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
        with pytest.raises(ImageUnavailable, match="a cloud metadata address"):
            fetch(cache, f"{server.url}{path}")
