"""Whose webhook it is: by its header, by the service at its address, or by password and events together."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from urllib3.util import connection

from ml_backend.label_studio.blueprint import EVENTS
from ml_backend.label_studio.webhooks import (
    INSTALLATION_HEADER,
    Recognition,
    ask_installation,
    unrecognised,
    webhook_headers,
)

MINE = "a" * 32
AUTH = ("dsal", "secret")


class _Health(BaseHTTPRequestHandler):
    """Tells an installation at /health, and redirects from /away/health."""

    seen: list[str]

    def do_GET(self) -> None:
        self.seen.append(self.headers.get("Authorization") or "")
        if self.path.startswith("/away"):
            self.send_response(302)
            self.send_header("Location", "/health")
            self.end_headers()
            return
        body = json.dumps({"status": "UP", "installation": MINE}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture
def address() -> Iterator[str]:
    _Health.seen = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Health)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


def webhook(url: str, **headers: str) -> dict[str, Any]:
    return {
        "url": f"{url}/webhook",
        "headers": headers,
        "actions": list(EVENTS),
        "send_for_all_actions": False,
    }


def test_the_service_at_an_address_tells_its_name_and_gets_no_password(address: str) -> None:
    assert ask_installation(address) == MINE
    assert _Health.seen == [""]
    assert Recognition(MINE, AUTH).is_ours(webhook(address))
    assert not Recognition("b" * 32, AUTH).is_ours(webhook(address)), "its service is another installation"


def test_no_redirect_is_followed_and_silence_is_no_name(address: str) -> None:
    assert ask_installation(f"{address}/away") is None
    assert ask_installation("http://127.0.0.1:9") is None
    assert ask_installation("http://[") is None


def test_cloud_metadata_is_never_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    def connected(*_: Any) -> None:
        raise AssertionError("A connection was made.")

    monkeypatch.setattr(connection, "create_connection", connected)
    for place in ("http://169.254.169.254", "http://[fd00:ec2::254]", "http://[::ffff:169.254.169.254]"):
        assert ask_installation(place) is None


def test_the_name_in_the_headers_decides_without_asking() -> None:
    def ask(_url: str) -> str | None:
        raise AssertionError("Nobody need be asked.")

    mine = webhook("http://former", **{INSTALLATION_HEADER: MINE})
    other = webhook("http://former", **{INSTALLATION_HEADER: "b" * 32})
    assert Recognition(MINE, AUTH, ask).is_ours(mine)
    assert not Recognition(MINE, AUTH, ask).is_ours(other)


def test_a_webhook_of_an_earlier_release_needs_our_password_and_our_events() -> None:
    ours = Recognition(MINE, AUTH, lambda _url: None)
    former = webhook("http://former", **webhook_headers(AUTH))
    assert ours.is_ours(former)
    assert not ours.is_ours(former | {"actions": ["TASKS_CREATED"]})
    assert not ours.is_ours(webhook("http://former", **webhook_headers(("dsal", "other"))))
    assert not ours.is_ours(former | {"url": "http://former/elsewhere"})
    (sentence,) = unrecognised([webhook("http://former")])
    assert sentence.startswith("The webhook to http://former/webhook may be left over")
