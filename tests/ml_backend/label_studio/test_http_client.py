"""Which host gets which request, how often, and the errors when a response fails to arrive."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import jwt
import pytest

from ml_backend.label_studio.client import LabelStudio, release
from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.label_studio.http_client import CERTIFICATES, HttpClient
from tests.ml_backend.label_studio.api_server import PAT, ApiServer, Reply, access_token

PROJECT = "/api/projects/7/"
REFRESH = "/api/token/refresh/"
Call = Callable[[LabelStudio], Any]


@pytest.fixture
def studio() -> Iterator[ApiServer]:
    with ApiServer() as server:
        server.replies[PROJECT] = [Reply(body={"id": 7})]
        yield server


@pytest.fixture
def elsewhere() -> Iterator[ApiServer]:
    with ApiServer() as server:
        yield server


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short waits between tries, and no proxies except those that a test sets."""
    monkeypatch.setattr("ml_backend.label_studio.http_client.BACKOFF_SECONDS", 0.01)
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def legacy(server: ApiServer, **options: Any) -> LabelStudio:
    return LabelStudio(server.url, "secret", **options)


def said(call: Callable[[], Any]) -> str:
    """The message that a call fails with."""
    with pytest.raises(LabelStudioError) as refused:
        call()
    return str(refused.value)


# --- connections ---


def test_over_plain_http_no_request_waits_for_a_delayed_acknowledgement() -> None:
    ports = []

    class KeepAlive(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            ports.append(self.client_address[1])
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

    with ThreadingHTTPServer(("127.0.0.1", 0), KeepAlive) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        studio = LabelStudio(f"http://127.0.0.1:{server.server_port}", "secret")
        for _ in range(3):
            studio.project(7)
        server.shutdown()
    assert len(set(ports)) == 3, "a new connection is acknowledged at once, one that is kept is not"


# --- redirects and credentials ---


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_personal_access_token_follows_no_redirect_to_another_host(
    studio: ApiServer, elsewhere: ApiServer, status: int
) -> None:
    elsewhere.grant_tokens()
    studio.replies[REFRESH] = [Reply(status, location=f"{elsewhere.url}{REFRESH}")]
    sentence = said(lambda: LabelStudio(studio.url, PAT).project(7))
    assert f"redirects POST {REFRESH} to {elsewhere.url}" in sentence
    assert PAT not in sentence
    assert elsewhere.seen == []


@pytest.mark.parametrize("status", [307, 308])
def test_a_write_follows_a_redirect_on_the_same_host_only(
    studio: ApiServer, elsewhere: ApiServer, status: int
) -> None:
    studio.replies["/api/projects/"] = [Reply(status, location="/api/moved/")]
    studio.replies["/api/moved/"] = [Reply(201, {"id": 8})]
    assert legacy(studio).create_project("New")["id"] == 8
    assert b"New" in studio.seen[-1].body
    assert studio.seen[-1].authorization == "Token secret"
    studio.replies["/api/projects/"] = [Reply(status, location=f"{elsewhere.url}/api/projects/")]
    assert elsewhere.url in said(lambda: legacy(studio).create_project("New"))
    assert elsewhere.seen == []


@pytest.mark.parametrize("status", [301, 302, 303])
def test_a_redirect_that_turns_a_write_into_a_read_is_refused(studio: ApiServer, status: int) -> None:
    studio.replies["/api/projects/"] = [Reply(status, location="/api/projects/")]
    assert "redirects POST /api/projects/" in said(lambda: legacy(studio).create_project("New"))
    assert studio.count("GET", "/api/projects/") == 0


def test_a_redirected_read_sends_no_token_to_another_host(studio: ApiServer, elsewhere: ApiServer) -> None:
    studio.grant_tokens()
    studio.replies[PROJECT] = [Reply(302, location=f"{elsewhere.url}/there")]
    elsewhere.replies["/there"] = [Reply(body={"id": 7}), Reply(401, {"detail": "who are you?"})]
    client = LabelStudio(studio.url, PAT)
    assert client.project(7)["id"] == 7
    assert "refuses the token" in said(lambda: client.project(7))
    assert [each.authorization for each in elsewhere.seen] == [None, None]
    assert studio.count("POST", REFRESH) == 1


def test_a_redirected_read_carries_no_header_and_no_cookie(studio: ApiServer, elsewhere: ApiServer) -> None:
    studio.replies[PROJECT] = [Reply(307, location=f"{elsewhere.url}/there")]
    elsewhere.replies["/there"] = [Reply(body={"id": 7})]
    client = HttpClient(studio.url)
    request = client.build_request(
        "GET",
        f"{studio.url}{PROJECT}",
        headers={"X-API-Key": PAT, "Authorization": "Token secret", "Cookie": "a=b"},
    )
    assert client.send(request).json() == {"id": 7}
    (there,) = elsewhere.seen
    assert set(there.headers) <= {"host", "accept"}
    assert there.body == b""


@pytest.mark.parametrize("status", [307, 308])
def test_an_upgrade_to_https_is_another_address_for_a_token(studio: ApiServer, status: int) -> None:
    secure = studio.url.replace("http:", "https:")
    studio.replies[REFRESH] = [Reply(status, location=f"{secure}{REFRESH}")]
    assert f"redirects POST {REFRESH} to {secure}" in said(lambda: LabelStudio(studio.url, PAT).project(7))


def test_endless_redirects_are_reported(studio: ApiServer) -> None:
    studio.replies[PROJECT] = [Reply(302, location=PROJECT)]
    assert "redirects" in said(lambda: legacy(studio).project(7))


def test_a_netrc_is_not_used_for_credentials(
    studio: ApiServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login someone password secret\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    studio.grant_tokens()
    studio.replies["/api/version"] = [Reply(body={"release": "1.23.2"})]
    LabelStudio(studio.url, PAT).project(7)
    assert release(studio.url) == "1.23.2"
    assert [each.authorization for each in studio.seen] == [None, f"Bearer {access_token(1)}", None]


# --- retries ---


@pytest.mark.parametrize("failure", [Reply(503), Reply(None)], ids=["5xx", "broken off"])
def test_a_read_is_tried_three_times(studio: ApiServer, failure: Reply) -> None:
    studio.replies[PROJECT] = [failure, failure, Reply(body={"id": 7})]
    assert legacy(studio).project(7)["id"] == 7
    studio.replies[PROJECT] = [failure]
    said(lambda: legacy(studio).project(7))
    assert studio.count("GET", PROJECT) == 6


@pytest.mark.parametrize(
    "failure",
    [Reply(500), Reply(503), Reply(429), Reply(409), Reply(None), Reply(after=1.0)],
    ids=["500", "503", "429", "409", "broken off", "read time-out"],
)
@pytest.mark.parametrize(
    ("call", "method", "path"),
    [
        (lambda client: client.create_project("New"), "POST", "/api/projects/"),
        (lambda client: client.create_tasks(7, [{}]), "POST", "/api/projects/7/import"),
        (lambda client: client.patch_project(7, title="New"), "PATCH", PROJECT),
        (lambda client: client.delete_view(3), "DELETE", "/api/dm/views/3/"),
    ],
    ids=["create", "import", "change", "delete"],
)
def test_a_write_is_sent_once(
    studio: ApiServer, failure: Reply, call: Call, method: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ml_backend.label_studio.tasks.LONG_SECONDS", 0.5)
    studio.replies[path] = [failure]
    said(lambda: call(legacy(studio, timeout=0.5)))
    assert studio.count(method, path) == 1


def test_a_token_refresh_is_sent_once(studio: ApiServer) -> None:
    studio.replies[REFRESH] = [Reply(503)]
    assert "(HTTP 503)" in said(lambda: LabelStudio(studio.url, PAT).project(7))
    assert studio.count("POST", REFRESH) == 1


def test_a_write_is_sent_again_with_a_new_token_after_a_401(studio: ApiServer) -> None:
    studio.grant_tokens()
    studio.replies["/api/projects/"] = [Reply(401, {}), Reply(201, {"id": 8})]
    client = LabelStudio(studio.url, PAT)
    assert client.create_project("New")["id"] == 8
    studio.replies["/api/projects/"] = [Reply(401, {"detail": "no more"})]
    assert "refuses the token" in said(lambda: client.create_project("New"))
    sent = [each for each in studio.seen if each.path == "/api/projects/"]
    assert len({each.body for each in sent}) == 1
    numbers = [1, 2, 2, 3]
    assert [each.authorization for each in sent] == [f"Bearer {access_token(number)}" for number in numbers]


# --- tokens ---


def test_an_access_token_is_renewed_a_minute_early_by_our_own_clock(
    studio: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    studio.grant_tokens(lifetime=300)
    client = LabelStudio(studio.url, PAT)
    now = time.monotonic
    for seconds, bought in ((0, 1), (235, 1), (245, 2), (470, 2), (490, 3)):
        monkeypatch.setattr(time, "monotonic", lambda seconds=seconds: now() + seconds)
        client.project(7)
        assert studio.count("POST", REFRESH) == bought, seconds


def test_label_studio_decides_whether_a_personal_access_token_has_expired(studio: ApiServer) -> None:
    expired = jwt.encode({"token_type": "refresh", "exp": 1}, "long since forgotten" * 2, "HS256")
    client = LabelStudio(studio.url, expired)
    studio.replies[REFRESH] = [Reply(401, {"detail": "Token is expired"})]
    with pytest.raises(LabelStudioError, match="Token is expired") as refused:
        client.project(7)
    assert refused.value.status == 401
    studio.grant_tokens()
    assert client.project(7)["id"] == 7


# --- error messages ---


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def test_a_closed_port_is_reported() -> None:
    url = f"http://127.0.0.1:{free_port()}"
    expected = f"Nothing answers at {url}: is the address right, and is the server running?"
    assert said(lambda: LabelStudio(url, "secret").project(7)) == expected
    assert said(lambda: release(url)) == expected


def test_a_timeout_is_reported_with_its_seconds(studio: ApiServer) -> None:
    studio.replies[PROJECT] = [Reply(after=2.0)]
    sentence = said(lambda: legacy(studio, timeout=0.5).project(7))
    assert sentence == f"{studio.url} gave no answer to {PROJECT} within 0.5 seconds."
    assert studio.count("GET", PROJECT) == 1


def test_https_to_a_plain_server_is_reported(studio: ApiServer) -> None:
    url = studio.url.replace("http:", "https:")
    assert f"The certificate of {url} is not trusted" in said(lambda: LabelStudio(url, "secret").project(7))


def test_a_response_other_than_json_is_reported(studio: ApiServer) -> None:
    page = Reply(body=b"<html>", kind="text/html")
    studio.replies |= {path: [page] for path in (PROJECT, REFRESH, "/api/version")}
    assert "something other than JSON" in said(lambda: legacy(studio).project(7))
    assert "something other than JSON" in said(lambda: LabelStudio(studio.url, PAT).project(7))
    assert "is not Label Studio" in said(lambda: release(studio.url))


def test_json_with_another_content_type_is_accepted(studio: ApiServer) -> None:
    studio.replies[PROJECT] = [Reply(body={"id": 7}, kind="text/plain")]
    assert legacy(studio).project(7)["id"] == 7


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_an_unreachable_proxy_is_reported_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    proxy = f"127.0.0.1:{free_port()}"
    monkeypatch.setenv(variable, f"http://someone:password@{proxy}")
    sentence = said(lambda: LabelStudio("http://studio.example", "secret").project(7))
    assert f"Nothing answers at the proxy http://{proxy} ({variable})" in sentence
    assert "http://studio.example" in sentence
    assert "password" not in sentence


def test_requests_go_through_the_proxy_unless_no_proxy_names_the_host(
    studio: ApiServer, elsewhere: ApiServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere.replies[f"{studio.url}{PROJECT}"] = [Reply(body={"id": 9})]
    monkeypatch.setenv("HTTP_PROXY", elsewhere.url.removeprefix("http://"))
    assert legacy(studio).project(7)["id"] == 9
    for hosts in ("127.0.0.1", "127.0.0.0/8"):
        monkeypatch.setenv("NO_PROXY", hosts)
        assert legacy(studio).project(7)["id"] == 7


@pytest.mark.parametrize("proxy", ["socks5://127.0.0.1:9", "ftp://127.0.0.1:9"])
def test_an_unsupported_proxy_is_refused(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)
    sentence = said(lambda: LabelStudio("http://studio.example", "secret"))
    assert f"The proxy {proxy} (HTTP_PROXY) cannot be used" in sentence


@pytest.mark.parametrize("variable", ["REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"])
def test_certificates_that_cannot_be_read_are_said(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    for name in CERTIFICATES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, "/nowhere.pem")
    assert f"/nowhere.pem, set as {variable}," in said(
        lambda: LabelStudio("https://studio.example", "secret")
    )
