"""The order of a connected project: its sampling, the shared view, and a view for each annotator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from ml_backend.label_studio.blueprint import (
    ANNOTATOR_VIEW_TITLE,
    BACKEND_TITLE,
    CHECK_VIEW_TITLE,
    VIEW_COLUMNS,
    VIEW_TITLE,
    Order,
    annotator_of,
    annotator_rules,
    check_rules,
    is_check_view,
    is_shared_view,
    order_fields,
    project_fields,
    view_rules,
)
from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.webhooks import Recognition

State = Literal["created", "changed", "unchanged"]


class CannotConnectError(Exception):
    """The project cannot be connected; the message is one sentence that says what to do."""


@dataclass(frozen=True)
class Item:
    """One part of a connection, and what was done about it."""

    name: str
    state: State
    detail: str


@dataclass
class Work:
    """A connection in progress: its parameters, and what has been done so far."""

    client: LabelStudio
    backend_url: str
    basic_auth: tuple[str, str] | None
    recognition: Recognition = field(default_factory=Recognition)
    items: list[Item] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def done(self, name: str, state: State, detail: str) -> None:
        """Record what was done about one part."""
        self.items.append(Item(name, state, detail))


def differs(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether any value of `wanted` differs in `present`."""
    return any(present.get(key) != value for key, value in wanted.items())


def restore_annotator_views(
    client: LabelStudio, project: int, views: Sequence[Mapping[str, Any]], order: Order
) -> list[str]:
    """Restore the rules of annotators' views that differ; return the e-mail addresses of those changed.

    `views` are all views of the project. Deleted views are not recreated, because their owners have left.
    Raises LabelStudioError.
    """
    work = Work(client, "", None)
    found = {email: view for view in views if (email := annotator_of(view))}
    for email, view in found.items():
        _view(work, project, view, email, "", annotator_rules(email, order))
    return [item.name for item in work.items if item.state == "changed"]


def set_check_view(client: LabelStudio, project: int, tasks: Sequence[int]) -> int:
    """Show tasks, at least one, in the view of labels to look at again; return its id.

    Raises LabelStudioError.
    """
    ours = _check_views(client, project)
    work = Work(client, "", None)
    found = ours[0] if ours else None
    return _view(work, project, found, "labels to check", CHECK_VIEW_TITLE, check_rules(tasks))


def remove_check_view(client: LabelStudio, project: int) -> bool:
    """Delete the view of labels to look at again; return whether there was one. Raises LabelStudioError."""
    ours = _check_views(client, project)
    for view in ours:
        client.delete_view(view["id"])
    return bool(ours)


def _check_views(client: LabelStudio, project: int) -> list[dict[str, Any]]:
    return [view for view in client.views(project) if is_check_view(view)]


def set_order(client: LabelStudio, project: int, order: Order) -> None:
    """Set the order of a connected project: its sampling, and the rules of every view of ours.

    An open page keeps its order until it is reloaded. Raises LabelStudioError.
    """
    ours = [(view, rules) for view in client.views(project) if (rules := _rules_of(view, order))]
    if not ours:
        return
    client.patch_project(project, **order_fields(order))
    for view, rules in ours:
        if differs(view["data"], rules):
            client.patch_view(view["id"], project, {**view["data"], **rules})


def _rules_of(view: Mapping[str, Any], order: Order) -> dict[str, Any] | None:
    """The rules that a view of ours should have; None for any other view."""
    email = annotator_of(view)
    if email is not None:
        return annotator_rules(email, order)
    return view_rules(order) if is_shared_view(view) else None


def settings(work: Work, number: int, order: Order) -> None:
    """Set the project's sampling and whether annotators see pre-annotations."""
    project, wanted = work.client.project(number), project_fields(order)
    state: State = "unchanged"
    if differs(project, wanted):
        work.client.patch_project(number, **wanted)
        state = "changed"
    work.done("settings", state, f"{wanted['sampling'].lower()}, pre-annotations shown")
    if project["model_version"] in ("", None, BACKEND_TITLE):
        work.notes.append("No version is published yet: the score column stays empty until one is.")
    if project["min_annotations_to_start_training"]:
        work.notes.append(
            'Turn off "Start model training on annotation submission" in the project: the webhook already '
            "triggers trainings."
        )


def shared_view(work: Work, project: int, order: Order) -> int:
    """Create or update the shared view; return its id."""
    ours = [each for each in work.client.views(project) if each["data"].get("title") == VIEW_TITLE]
    return _view(work, project, ours[0] if ours else None, "view", VIEW_TITLE, view_rules(order))


def annotator_views(work: Work, project: int, emails: Sequence[str] | None, order: Order) -> dict[str, int]:
    """Create, update and delete views so that each of `emails` has one; None keeps the existing ones.

    Returns:
        {e-mail address: view id}.

    Raises:
        CannotConnectError: Label Studio does not know one of the addresses.
    """
    present = {email: view for view in work.client.views(project) if (email := annotator_of(view))}
    wanted = list(present) if emails is None else _existing_users(work.client, emails)
    for email in present.keys() - set(wanted):
        work.client.delete_view(present[email]["id"])
        work.done(f"view of {email}", "changed", "removed")
    return {
        email: _view(
            work,
            project,
            present.get(email),
            f"view of {email}",
            ANNOTATOR_VIEW_TITLE.format(email=email),
            annotator_rules(email, order),
        )
        for email in wanted
    }


def _view(
    work: Work, project: int, view: Mapping[str, Any] | None, name: str, title: str, rules: Mapping[str, Any]
) -> int:
    state: State = "unchanged"
    if view is None:
        data = {"title": title, "type": "list", "target": "tasks", **VIEW_COLUMNS, **rules}
        view, state = work.client.create_view(project, data), "created"
    elif differs(view["data"], rules):
        view, state = work.client.patch_view(view["id"], project, {**view["data"], **rules}), "changed"
    work.done(name, state, title)
    return int(view["id"])


def _existing_users(client: LabelStudio, emails: Sequence[str]) -> list[str]:
    """Return the e-mail addresses as Label Studio spells them."""
    users = {email.lower(): email for email in client.emails()}
    unknown = [email for email in emails if email.lower() not in users]
    if unknown:
        raise CannotConnectError(
            f"Label Studio has no user {unknown[0]}: have all annotators sign up first, with the link under "
            "Organization, Add Members."
        )
    return list(dict.fromkeys(users[email.lower()] for email in emails))
