"""Checks of the way from Label Studio to this service: it is made to call, and the call must arrive here."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import requests

from ml_backend.doctor.finding import Verdict, fault, ok, one_line, warning
from ml_backend.doctor.installation import ConnectedProject
from ml_backend.label_studio.blueprint import BACKEND_TITLE
from ml_backend.label_studio.http_client import certificate_bundle, proxy_in_use
from ml_backend.store import projects
from ml_backend.web.setup import SERVICE

ARRIVAL_SECONDS = 3.0
HEALTH_SECONDS = 3.0
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1", "0.0.0.0")
PROTECTION = (
    "Start Label Studio with LABEL_STUDIO_USE_DEFAULT_BANNED_SUBNETS=false (docs/label-studio-setup.md shows "
    "a safer pair of settings)."
)


def check_backend(project: ConnectedProject) -> Iterator[Verdict]:
    """Whether Label Studio lists this service for the project; listing makes it call each backend."""
    before = _last_call(project)
    listed = project.client.ml_backends(project.number)
    ours = _ours(project, listed)
    if ours is None:
        others = ", ".join(str(each["url"]) for each in listed)
        only = f"Label Studio lists only {others}, not {project.url}."
        yield fault(only if others else "No ML backend is connected.", f"Run {project.connect}.")
        return
    project.backend = ours
    project.arrived = _has_arrived(project, before) if ours["readable_state"] == "Connected" else None
    if listed[0]["id"] != ours["id"]:
        yield fault(
            f"Label Studio uses only a project's first ML backend, which is {listed[0]['url']}.",
            f"Delete that one in the project's settings, under Model; Label Studio then uses {project.url}.",
        )
        return
    yield ok(f"Label Studio lists {project.url}.")


def check_call(project: ConnectedProject) -> Iterator[Verdict]:
    """Whether the call that `check_backend` made Label Studio send arrived at this very service."""
    state = project.backend["readable_state"]
    if state == "Disconnected":
        yield _unreachable(project)
    elif state != "Connected":
        yield _refused(project, one_line(project.backend.get("error_message") or "no reason given"))
    elif project.arrived:
        yield ok(f"Label Studio called {project.url}, and its call arrived here.")
    elif project.arrived is None:
        yield warning(
            f"Label Studio says that it reached {project.url}; whether that is this service is recorded in "
            "the database, which cannot be read.",
            "Fix the database first.",
        )
    else:
        yield fault(
            f"Label Studio called {project.url} and got an answer, but the call did not arrive here: another "
            "ML backend listens there, or one with another database.",
            f"Connect this service's own address: run {_reconnect(project)}.",
        )


def check_protection(project: ConnectedProject) -> Iterator[Verdict]:
    """Whether Label Studio's SSRF protection, which bans private addresses, lets it call this service."""
    backend, webhook = project.backend_refusal, project.webhook_refusal
    if backend is not None and backend.status == 403:
        yield fault(f"Label Studio refuses {project.url} because its address is private.", PROTECTION)
    elif webhook is not None and webhook.status == 403:
        yield fault(
            f"Label Studio calls {project.url}, but refuses a webhook to it because its address is private.",
            PROTECTION,
        )
    else:
        yield ok(f"Label Studio allows calls to {project.url}.")


def check_host(project: ConnectedProject) -> Iterator[Verdict]:
    """Whether Label Studio can resolve this service's host name, and accepts it for webhooks."""
    host = urlsplit(project.url).hostname or ""
    backend, webhook = project.backend_refusal, project.webhook_refusal
    if webhook is not None and webhook.status == 400:
        yield fault(
            f'Label Studio makes no webhook to a host name without a dot, such as "{host}".',
            f'Give it a second name such as "{host}.internal" (in Compose, an alias), and connect with that.',
        )
    elif backend is not None and backend.status == 500:
        yield fault(
            f'Label Studio\'s machine cannot resolve the host name "{host}".',
            f"Connect with an IP address or a name that it can resolve: {_reconnect(project)}.",
        )
    else:
        yield ok(f'Label Studio resolves "{host}" and accepts webhooks to it.')


def _ours(project: ConnectedProject, listed: list[dict[str, Any]]) -> dict[str, Any] | None:
    """This service among a project's backends, found by its address if that was given, else by its title."""
    given = project.installation.backend_url
    if given is not None:
        return next((each for each in listed if each["url"].rstrip("/") == given.rstrip("/")), None)
    titled = [each for each in listed if each["title"] == BACKEND_TITLE]
    return next(iter(titled or listed), None)


def _last_call(project: ConnectedProject) -> datetime | None:
    database = project.installation.database
    if database is None:
        return None
    with database.read() as session:
        known = projects.get(session, project.number)
    return None if known is None else known.called_at


def _has_arrived(project: ConnectedProject, before: datetime | None) -> bool | None:
    """Whether the call log changes from `before` within ARRIVAL_SECONDS; None without a database.

    Compares two entries of the same log rather than an entry with this machine's clock, which may differ.
    """
    if project.installation.database is None:
        return None
    deadline = time.monotonic() + ARRIVAL_SECONDS
    while _last_call(project) == before:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _refused(project: ConnectedProject, reason: str) -> Verdict:
    """The fault for a service that answers /health but not /setup."""
    if "401" in reason:
        return fault(
            f"Label Studio sends {project.url} a wrong user or password.",
            f"Run {project.connect} with the same BASIC_AUTH_USER and BASIC_AUTH_PASS as dsal serve.",
        )
    return fault(
        f"The service at {project.url} does not answer /setup as dsal does: {reason}.",
        f"Check the log of dsal serve; if another service uses that port, run {_reconnect(project)}.",
    )


def _unreachable(project: ConnectedProject) -> Verdict:
    """The fault for a service that Label Studio does not reach; as it gives no reason, try from here."""
    url = project.url
    if project.backend_refusal is not None and project.backend_refusal.status == 403:
        return fault(f"Label Studio does not call {url} because its address is private.", PROTECTION)
    answer = _health(url)
    proxy = proxy_in_use(url)
    if proxy is not None and (answer is None or answer.get("service") != SERVICE):
        return fault(
            f"The proxy {proxy} is used for this service's own address {url}, and does not lead there.",
            f"Set NO_PROXY={urlsplit(url).hostname} here, and where Label Studio runs if it has a proxy too.",
        )
    if answer is None:
        return fault(
            f"Nothing answers at {url}, neither to Label Studio nor to this machine.",
            f"Start dsal serve; if it has another address, run {_reconnect(project)}.",
        )
    if answer.get("service") != SERVICE:
        return fault(
            f"Another service answers at {url}.",
            f"Move one of the two to another port (PORT), then run {_reconnect(project)}.",
        )
    if urlsplit(url).hostname in LOCAL_HOSTS:
        return fault(
            f"{url} answers this machine but not Label Studio: in its container, or on its machine, that "
            "name means itself.",
            "Connect with an address at which Label Studio reaches this machine, from a container "
            f"host.docker.internal: {_reconnect(project)}.",
        )
    return fault(
        f"{url} answers this machine, but Label Studio gets no answer within a second.",
        "Open the port to Label Studio's machine, or connect with an address that it can reach.",
    )


def _health(url: str) -> dict[str, Any] | None:
    """The answer of /health to this machine: {} for anything unexpected, None for no answer."""
    try:
        # Without `auth` requests would send what a .netrc has for the host.
        answer = requests.get(
            f"{url}/health",
            timeout=HEALTH_SECONDS,
            auth=lambda request: request,
            verify=certificate_bundle() or True,
        )
        content = answer.json() if answer.ok else {}
    except requests.JSONDecodeError:
        return {}
    except requests.RequestException:
        return None
    return content if isinstance(content, dict) else {}


def _reconnect(project: ConnectedProject) -> str:
    return (
        f"dsal connect --project {project.number} --backend http://HOST:{project.installation.settings.port}"
    )
