"""Whether Label Studio reaches this service: it is asked to call back, and the call must arrive here."""

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
from ml_backend.store import projects
from ml_backend.web.health import SERVICE

ARRIVAL_SECONDS = 3.0
LOOK_SECONDS = 3.0
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1", "0.0.0.0")
PROTECTION = (
    "Start Label Studio with LABEL_STUDIO_USE_DEFAULT_BANNED_SUBNETS=false (docs/label-studio-setup.md has a "
    "safer pair of lines)."
)


def look_at_backend(project: ConnectedProject) -> Iterator[Verdict]:
    """Whether Label Studio lists this service for the project; to answer it calls each listed backend."""
    before = _last_call(project)
    listed = project.client.ml_backends(project.number)
    ours = _ours(project, listed)
    if ours is None:
        others = ", ".join(str(each["url"]) for each in listed)
        only = f"Label Studio lists {others} only, and not {project.url}."
        yield fault(only if others else "No ML backend is connected.", f"Run {project.connect}.")
        return
    project.backend = ours
    project.arrived = _has_arrived(project, before) if ours["readable_state"] == "Connected" else None
    if listed[0]["id"] != ours["id"]:
        yield fault(
            f"Label Studio asks only a project's first ML backend, which is {listed[0]['url']}.",
            f"Delete that one in the project's settings, under Model, to be asked at {project.url}.",
        )
        return
    yield ok(f"Label Studio lists {project.url}.")


def look_at_call(project: ConnectedProject) -> Iterator[Verdict]:
    """Whether the call that Label Studio was just asked for arrived at this very service."""
    state = project.backend["readable_state"]
    if state == "Disconnected":
        yield _unreachable(project)
    elif state != "Connected":
        yield _refused(project, one_line(project.backend.get("error_message") or "no reason given"))
    elif project.arrived:
        yield ok(f"Label Studio called {project.url}, and its call arrived here.")
    elif project.arrived is None:
        yield warning(
            f"Label Studio says that it reached {project.url}; whether that is this service stands in the "
            "database, which cannot be read.",
            "Mend the database first.",
        )
    else:
        yield fault(
            f"Label Studio called {project.url} and got an answer, but the call did not arrive here: another "
            "ML backend listens there, or one with another database.",
            f"Connect this one's own address: {_reconnect(project)}.",
        )


def look_at_protection(project: ConnectedProject) -> Iterator[Verdict]:
    """Whether Label Studio's protection of private addresses (SSRF) lets it call this service."""
    backend, webhook = project.backend_refusal, project.webhook_refusal
    if backend is not None and backend.status == 403:
        yield fault(f"Label Studio refuses {project.url}, as its address is private.", PROTECTION)
    elif webhook is not None and webhook.status == 403:
        yield fault(
            f"Label Studio calls {project.url}, but refuses a webhook to it, as its address is private.",
            PROTECTION,
        )
    else:
        yield ok(f"Label Studio has nothing against calling {project.url}.")


def look_at_host(project: ConnectedProject) -> Iterator[Verdict]:
    """Whether the host's name is one that Label Studio knows, and takes for webhooks."""
    host = urlsplit(project.url).hostname or ""
    backend, webhook = project.backend_refusal, project.webhook_refusal
    if webhook is not None and webhook.status == 400:
        yield fault(
            f'Label Studio makes no webhook to "{host}", a host name without a dot.',
            f'Give it a second name such as "{host}.internal" (in compose: an alias), and connect with that.',
        )
    elif backend is not None and backend.status == 500:
        yield fault(
            f'Label Studio\'s machine knows no host "{host}".',
            f"Connect with a name or an IP address that is known there: {_reconnect(project)}.",
        )
    else:
        yield ok(f'Label Studio finds "{host}" and makes webhooks to it.')


def _ours(project: ConnectedProject, listed: list[dict[str, Any]]) -> dict[str, Any] | None:
    """This service among a project's backends: by its address where that was given, else by its title."""
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
    """Whether a call was noted after `before`; compared with itself, as clocks of machines differ."""
    if project.installation.database is None:
        return None
    deadline = time.monotonic() + ARRIVAL_SECONDS
    while _last_call(project) == before:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def _refused(project: ConnectedProject, said: str) -> Verdict:
    """Label Studio reached something that answers /health, and got no good answer from /setup."""
    if "401" in said:
        return fault(
            f"Label Studio gives {project.url} another user or password than it asks for.",
            f"Run {project.connect} with the same BASIC_AUTH_USER and BASIC_AUTH_PASS as dsal serve.",
        )
    return fault(
        f"What answers at {project.url} does not answer as this service does: {said}.",
        f"Look into the log of dsal serve; if another service has that port, run {_reconnect(project)}.",
    )


def _unreachable(project: ConnectedProject) -> Verdict:
    """Label Studio got no answer, and gives no reason: look from here as well."""
    url = project.url
    if project.backend_refusal is not None and project.backend_refusal.status == 403:
        return fault(f"Label Studio does not call {url}, as its address is private.", PROTECTION)
    answer = _health(url)
    if answer is None:
        return fault(
            f"Nothing answers Label Studio at {url}, nor a call from here.",
            f"Start dsal serve; if it runs under another address, run {_reconnect(project)}.",
        )
    if answer.get("service") != SERVICE:
        return fault(
            f"Another service answers at {url}.",
            f"Move one of the two to another port (PORT), then run {_reconnect(project)}.",
        )
    if urlsplit(url).hostname in LOCAL_HOSTS:
        return fault(
            f"{url} answers here, but not to Label Studio: in its container, or on its machine, that name "
            "means itself.",
            f"Connect with an address that leads here from there, for a container host.docker.internal: "
            f"{_reconnect(project)}.",
        )
    return fault(
        f"{url} answers here, but Label Studio does not get through to it within a second.",
        "Open the port to Label Studio's machine, or connect with an address that it can reach.",
    )


def _health(url: str) -> dict[str, Any] | None:
    """What /health answers from here, {} for anything unexpected, None for no answer."""
    try:
        answer = requests.get(f"{url}/health", timeout=LOOK_SECONDS)
        found = answer.json() if answer.ok else {}
    except requests.JSONDecodeError:
        return {}
    except requests.RequestException:
        return None
    return found if isinstance(found, dict) else {}


def _reconnect(project: ConnectedProject) -> str:
    return (
        f"dsal connect --project {project.number} --backend http://HOST:{project.installation.settings.port}"
    )
