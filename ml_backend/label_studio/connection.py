"""Connecting a Label Studio project to this service. Idempotent: a second run changes nothing."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from ml_backend.label_studio import views
from ml_backend.label_studio.blueprint import BACKEND_TITLE, EVENTS, Order
from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import (
    LabelConfig,
    LabelConfigError,
    add_smart_tags,
    default_config,
    parse,
)
from ml_backend.label_studio.disconnection import before
from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.label_studio.views import CannotConnectError, Item, State, Work, differs
from ml_backend.label_studio.webhooks import Recognition, unrecognised, webhook_headers

__all__ = ["BACKEND_TITLE", "CannotConnectError", "Connection", "Item", "connect", "webhook_headers"]

_WRONG_PASSWORD = (
    "The backend at {url} rejects the given user or password: use its BASIC_AUTH_USER and BASIC_AUTH_PASS."
)


@dataclass(frozen=True)
class Connection:
    """What `connect` found and did: ids of the parts, one item for each part, and notes for people.

    `view` is the id of the shared view; `annotators` maps e-mail addresses to the ids of annotators' views.
    """

    project: int
    title: str
    backend: int
    webhook: int
    view: int
    config: LabelConfig
    items: tuple[Item, ...]
    notes: tuple[str, ...] = ()
    annotators: Mapping[str, int] = field(default_factory=dict)

    @property
    def unchanged(self) -> bool:
        """Whether everything was already in place."""
        return all(item.state == "unchanged" for item in self.items)


def connect(
    client: LabelStudio,
    *,
    backend_url: str,
    order: Callable[[int, LabelConfig], Order],
    project: int | None = None,
    create: str | None = None,
    labels: Sequence[str] = ("Bone",),
    basic_auth: tuple[str, str] | None = None,
    annotators: Sequence[str] | None = None,
    interactive: bool = False,
    installation: str = "",
    remember: Callable[[int, Mapping[str, Any] | None], None] | None = None,
) -> Connection:
    """Set up everything that a project needs to work with the backend at `backend_url`; idempotent.

    Args:
        client: the Label Studio to connect.
        backend_url: address of the backend as Label Studio reaches it. The backend must be running, because
            Label Studio calls it.
        order: (project id, labeling config) to the order in which its tasks are served.
        project: id of an existing project; give either this or `create`.
        create: title of a project to create; an existing project with this title is used instead.
        labels: labels of a new labeling config, used only if the project has none yet.
        basic_auth: (user, password) of the backend.
        annotators: e-mail addresses of all annotators who get a view of their own, replacing the current
            ones; None keeps the current ones.
        interactive: whether annotators shall be able to ask for masks by points and boxes; False leaves that
            as it is.
        installation: name of the backend's installation, by which its webhooks under former addresses are
            found and removed; empty leaves all others alone.
        remember: is called with the project's id and what it was before (`disconnection.before`), before
            anything in it is changed.

    Raises:
        CannotConnectError: something must be done by hand first.
        LabelStudioError: Label Studio cannot be reached or refuses.
    """
    backend_url = backend_url.rstrip("/")
    _check_address(backend_url)
    work = Work(client, backend_url, basic_auth, Recognition(installation, basic_auth))
    found = _project(work, project, create)
    number = int(found["id"])
    if remember is not None:
        remember(number, before(found, client.views(number)))
    config = _label_config(work, found, labels, interactive=interactive)
    served = order(number, config)
    backend = _backend(work, number, interactive=interactive)
    webhook = _webhook(work, number)
    views.settings(work, number, served)
    view = views.shared_view(work, number, served)
    annotator_ids = views.annotator_views(work, number, annotators, served)
    return Connection(
        number,
        found["title"],
        backend,
        webhook,
        view,
        config,
        tuple(work.items),
        tuple(work.notes),
        annotator_ids,
    )


def _check_address(backend_url: str) -> None:
    """Refuse addresses for which Label Studio would silently create no webhook."""
    parts = urlsplit(backend_url)
    host = parts.hostname or ""
    if parts.scheme not in ("http", "https") or not host:
        raise CannotConnectError(
            f'"{backend_url}" is not the address of a backend: write it as http://host:9090.'
        )
    if "." not in host and host != "localhost" and not _is_ip(host):
        raise CannotConnectError(
            f'Label Studio makes no webhook for a host name without a dot: give "{host}" a second name such '
            f'as "{host}.internal" (in compose: a network alias) and connect with that.'
        )


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _project(work: Work, project: int | None, create: str | None) -> dict[str, Any]:
    if (project is None) == (create is None):
        raise CannotConnectError("Give either the id of a project or the title of one to create.")
    if project is not None:
        found = work.client.project(project)
        work.done("project", "unchanged", f'{project} "{found["title"]}"')
        return found
    title = str(create)
    same = work.client.projects(title)
    if len(same) > 1:
        numbers = ", ".join(str(each["id"]) for each in same)
        raise CannotConnectError(
            f'There are several projects named "{title}" ({numbers}): connect one of them by its id.'
        )
    found = work.client.project(same[0]["id"]) if same else work.client.create_project(title)
    work.done("project", "unchanged" if same else "created", f'{found["id"]} "{title}"')
    return found


def _label_config(
    work: Work, project: Mapping[str, Any], labels: Sequence[str], *, interactive: bool
) -> LabelConfig:
    """Return the labeling config, written first if the project has none; add smart tags if asked."""
    xml = str(project["label_config"] or "")
    state: State = "unchanged"
    try:
        if _is_empty(xml):
            xml, state = default_config(labels), "created"
            work.client.patch_project(project["id"], label_config=xml)
        config = parse(xml)
        smart = add_smart_tags(xml) if interactive else xml
    except LabelConfigError as error:
        raise CannotConnectError(str(error)) from error
    work.done("labeling config", state, ", ".join(config.labels))
    work.notes.extend(config.faults)
    if interactive:
        if smart != xml:
            work.client.patch_project(project["id"], label_config=smart)
        work.done("smart tags", "unchanged" if smart == xml else "changed", "points and boxes for each label")
    return config


def _is_empty(xml: str) -> bool:
    """Whether a labeling config is Label Studio's placeholder, an empty `<View>`."""
    return re.fullmatch(r"\s*(<View[^<>]*/>|<View[^<>]*>\s*</View>)?\s*", xml) is not None


def _backend(work: Work, project: int, *, interactive: bool) -> int:
    client, url = work.client, work.backend_url
    access = _access(work.basic_auth)
    if interactive:
        # Without this field Label Studio keeps what it has.
        access["is_interactive"] = True
    listed = client.ml_backends(project)
    ours = [each for each in listed if each["url"].rstrip("/") == url]
    for extra in ours[1:]:
        client.delete_ml_backend(extra["id"])
    if listed and ours[:1] != listed[:1]:
        work.notes.append(
            f"Label Studio calls only a project's first ML backend, which is {listed[0]['url']}: disconnect "
            "it to get pre-annotations from this one."
        )
    prompted = next((each["url"] for each in listed if each["is_interactive"]), url)
    if interactive and prompted.rstrip("/") != url:
        work.notes.append(
            "Label Studio sends points and boxes only to the first interactive ML backend, which is "
            f"{prompted}: disconnect it, or switch its interactive pre-annotations off."
        )
    if not ours:
        backend = _apply(work, lambda: client.create_ml_backend(project, url, BACKEND_TITLE, **access))
        state: State = "created"
    elif len(ours) > 1 or _stale(ours[0], access):
        number = ours[0]["id"]
        backend = _apply(work, lambda: client.patch_ml_backend(number, project, url, **access))
        state = "changed"
    else:
        backend, state = ours[0], "unchanged"
    told = (" with basic auth" if work.basic_auth else "") + (", interactive" if interactive else "")
    work.done("ML backend", state, url + told)
    return int(backend["id"])


def _access(basic_auth: tuple[str, str] | None) -> dict[str, Any]:
    if basic_auth is None:
        return {"auth_method": "NONE"}
    return {
        "auth_method": "BASIC_AUTH",
        "basic_auth_user": basic_auth[0],
        "basic_auth_pass": basic_auth[1],
    }


def _stale(backend: Mapping[str, Any], access: Mapping[str, Any]) -> bool:
    """Whether a backend needs patching; a wrong stored password shows only in its state."""
    compared = access.keys() - {"basic_auth_pass"}
    return backend["readable_state"] != "Connected" or any(backend[key] != access[key] for key in compared)


def _apply(work: Work, call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """Create or change the backend; translate Label Studio's errors into messages that say what to do."""
    url = work.backend_url
    try:
        backend = call()
    except LabelStudioError as error:
        if error.status == 403:
            raise CannotConnectError(
                f"Label Studio refuses {url} because its address is private: start Label Studio with "
                "USE_DEFAULT_BANNED_SUBNETS=false."
            ) from error
        if error.status == 400 and _is_about_password(error.detail):
            raise CannotConnectError(_WRONG_PASSWORD.format(url=url)) from error
        if error.status == 400:
            raise CannotConnectError(
                f"Label Studio cannot use the backend at {url}: is it running, and reachable at this "
                f'address from the Label Studio machine? It says: "{re.sub(r"<[^>]*>", "", error.detail)}"'
            ) from error
        raise
    if backend["readable_state"] != "Connected":
        reason = backend.get("error_message") or "no reason given"
        if _is_about_password(str(reason)):
            raise CannotConnectError(_WRONG_PASSWORD.format(url=url))
        raise CannotConnectError(f"Label Studio lists the backend at {url} as not connected: {reason}.")
    return backend


def _is_about_password(detail: str) -> bool:
    return "401 Client Error" in detail or "authentication parameters" in detail


def _webhook(work: Work, project: int) -> int:
    """Set the webhook's headers and events; Label Studio created it without them with the backend."""
    client, url = work.client, f"{work.backend_url}/webhook"
    wanted = {
        "headers": webhook_headers(work.basic_auth, work.recognition.installation),
        "send_payload": True,
        "send_for_all_actions": False,
        "is_active": True,
    }
    listed = client.webhooks(project)
    ours = [each for each in listed if each["url"].rstrip("/") == url]
    others = [each for each in listed if each not in ours]
    former = [each for each in others if work.recognition.is_ours(each)]
    for extra in (*ours[1:], *former):
        client.delete_webhook(extra["id"])
    work.notes.extend(unrecognised(each for each in others if each not in former))
    state: State = "unchanged"
    if not ours:
        client.create_webhook(project, url, actions=list(EVENTS), **wanted)
        state = "created"
    elif len(ours) > 1 or set(ours[0]["actions"]) != set(EVENTS) or differs(ours[0], wanted):
        client.patch_webhook(ours[0]["id"], url, list(EVENTS), **wanted)
        state = "changed"
    present = [each for each in client.webhooks(project) if each["url"] == url and each["is_active"]]
    if not present:
        raise CannotConnectError(
            f"Label Studio created no webhook to {url}: create it by hand in the project's settings."
        )
    work.done("webhook", state, f"{url}, {len(EVENTS)} events")
    for each in former:
        work.done("former webhook", "changed", f"{each['url']}, removed")
    return int(present[0]["id"])
