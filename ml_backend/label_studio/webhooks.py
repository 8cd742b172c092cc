"""Which webhooks of a project lead to this installation, under whatever address.

Label Studio's webhooks survive the ML backend that they were made for, and its address. One that is left over
reports each annotation a second time, but one that another service needs must stay. So a webhook is ours only
if it says so, or if what answers at its address does.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import requests

from ml_backend.label_studio.blueprint import EVENTS
from ml_backend.label_studio.images.guard import guarded_session
from ml_backend.label_studio.images.hosts import HostRefusedError

INSTALLATION_HEADER = "X-Dsal-Installation"
"""Header of our webhooks, with the installation's name (`ml_backend.store.installation`)."""
PATH = "/webhook"
ANSWER_SECONDS = 2.0

Ask = Callable[[str], str | None]
"""A function from a service's address to the name of its installation; None if it is none, or unknown."""


def webhook_headers(basic_auth: tuple[str, str] | None, installation: str = "") -> dict[str, str]:
    """Return a webhook's headers: its authorisation, as Label Studio sends no password, and our name."""
    found = {}
    if basic_auth is not None:
        pair = base64.b64encode(":".join(basic_auth).encode()).decode()
        found["Authorization"] = f"Basic {pair}"
    if installation:
        found[INSTALLATION_HEADER] = installation
    return found


def address(webhook: Mapping[str, Any]) -> str:
    """Return the address of the service that a webhook calls; empty for one that no service of ours has."""
    url = str(webhook["url"]).rstrip("/")
    return url.removesuffix(PATH) if url.endswith(PATH) else ""


def ask_installation(url: str) -> str | None:
    """Ask the service at `url` for its installation; no password is sent and no redirect followed.

    Anybody may have written the address, so cloud metadata addresses are not asked.
    """
    try:
        with guarded_session() as session:
            found = session.get(f"{url}/health", timeout=ANSWER_SECONDS, allow_redirects=False).json()
    except (requests.RequestException, HostRefusedError, ValueError):
        return None
    name = found.get("installation") if isinstance(found, dict) else None
    return name if isinstance(name, str) else None


@dataclass(frozen=True)
class Recognition:
    """What tells webhooks of this installation from those of others.

    Attributes:
        installation: its name; empty if unknown, as for services of others that use our `connect`.
        basic_auth: (user, password) of its service.
        ask: asks a service for its installation.
    """

    installation: str = ""
    basic_auth: tuple[str, str] | None = None
    ask: Ask = ask_installation

    def is_ours(self, webhook: Mapping[str, Any]) -> bool:
        """Whether a webhook leads to this installation.

        In this order: by the name in its headers; by the name that its service tells; and, for webhooks of
        releases that wrote no name, by our password in its headers, if it sends exactly our events.
        """
        service = address(webhook)
        if not service or not self.installation:
            return False
        present = {key.lower(): value for key, value in (webhook["headers"] or {}).items()}
        named = present.get(INSTALLATION_HEADER.lower()) or self.ask(service)
        if named:
            return bool(named == self.installation)
        wanted = webhook_headers(self.basic_auth).get("Authorization")
        return wanted is not None and present.get("authorization") == wanted and has_our_events(webhook)

    def answers(self, service: str) -> bool | None:
        """Whether this installation answers at an address; None if no service tells its name there."""
        named = self.ask(service) if self.installation else None
        return None if named is None else named == self.installation

    def is_strange(self, webhook: Mapping[str, Any]) -> bool:
        """Whether a webhook names another installation."""
        present = {key.lower(): value for key, value in (webhook["headers"] or {}).items()}
        named = present.get(INSTALLATION_HEADER.lower())
        return bool(named) and named != self.installation


def has_our_events(webhook: Mapping[str, Any]) -> bool:
    """Whether a webhook sends exactly the events that `connect` chooses, as few others would."""
    return not webhook["send_for_all_actions"] and set(webhook["actions"] or ()) == set(EVENTS)


def unrecognised(webhooks: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return one sentence for each of these webhooks that looks like one of ours, without a proof of it."""
    return [
        f"The webhook to {each['url']} may be left over from a former address of this service: if no other "
        "service needs it, delete it in the project's settings, or each annotation is reported twice."
        for each in webhooks
        if address(each) and has_our_events(each)
    ]
