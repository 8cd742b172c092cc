"""Whose webhook it is: by its header, by the service at its address, or by password and events together."""

from __future__ import annotations

from collections.abc import Iterator
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
from tests.local_server import LocalServer, Request

MINE = "a" * 32
AUTH = ("dsal", "secret")


class Health(LocalServer):
    """Tells an installation at /health, and redirects from /away/health."""

    def __init__(self) -> None:
        self.seen: list[str] = []

    def respond(self, request: Request) -> None:
        self.seen.append(request.authorization or "")
        if request.path.startswith("/away"):
            request.reply(302, headers={"Location": "/health"})
        else:
            request.reply_json({"status": "UP", "installation": MINE})


@pytest.fixture
def health() -> Iterator[Health]:
    with Health() as server:
        yield server


def webhook(url: str, **headers: str) -> dict[str, Any]:
    return {
        "url": f"{url}/webhook",
        "headers": headers,
        "actions": list(EVENTS),
        "send_for_all_actions": False,
    }


def test_the_service_at_an_address_tells_its_name_and_gets_no_password(health: Health) -> None:
    address = health.url
    assert ask_installation(address) == MINE
    assert health.seen == [""]
    assert Recognition(MINE, AUTH).is_ours(webhook(address))
    assert not Recognition("b" * 32, AUTH).is_ours(webhook(address)), "its service is another installation"


def test_no_redirect_is_followed_and_silence_is_no_name(health: Health) -> None:
    assert ask_installation(f"{health.url}/away") is None
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
