"""Taking back what `connect` made in a Label Studio project; its labels stay.

What there is to take back is listed first, from what Label Studio has now, so it does not matter how much of
it is gone already. What others made or changed stays.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from ml_backend.label_studio.blueprint import (
    BACKEND_TITLE,
    BATCH_VERSION,
    SHOWN_FIELDS,
    Order,
    annotator_of,
    assignment_version,
    is_check_view,
    is_shared_view,
    order_fields,
)
from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import (
    SMART_NAMES,
    LabelConfigError,
    add_smart_tags,
    default_config,
    parse,
    remove_smart_tags,
)
from ml_backend.label_studio.errors import GONE, LabelStudioError
from ml_backend.label_studio.webhooks import Recognition, address, has_our_events, unrecognised

OURS: Mapping[str, tuple[Any, ...]] = {
    **{
        name: tuple(order_fields(Order(highest_first=highest))[name] for highest in (True, False))
        for name in order_fields(Order(highest_first=True))
    },
    **{name: (value,) for name, value in SHOWN_FIELDS.items()},
}
"""Values that connecting gives to fields of a project; a field with another one was changed by a person."""
NEW: Mapping[str, Any] = {"sampling": "Sequential sampling", "model_version": ""}
"""What fields are set back to if nobody knows what they were: the values of a new project."""

Named = Callable[[str], bool]
"""Whether a version of predictions is of some kind, by its name."""


def before(project: Mapping[str, Any], views: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    """Return the fields of a project that connecting and publishing change, as they are before it.

    None for a project that shows by its views that it was connected before.
    """
    if any(_is_ours(view) for view in views):
        return None
    return {name: project.get(name) for name in ("label_config", "model_version", *OURS)}


@dataclass(frozen=True)
class Part:
    """Something to take back; `take_back` raises LabelStudioError, with status 404 if it is gone already."""

    name: str
    detail: str
    take_back: Callable[[], object]


@dataclass(frozen=True)
class Departure:
    """A project, and how to tell what in it is ours.

    Attributes:
        client: its Label Studio.
        project: its id.
        address: of the backend as Label Studio reaches it.
        is_given: whether a person said that address; otherwise it is the default.
        recognition: of webhooks.
        is_temporary: names of predictions that are kept for open pages.
        is_version: names of our versions.
        former: what `before` returned before the project was connected; None if that is not known.
        predictions: whether the predictions of our versions are taken back too.
    """

    client: LabelStudio
    project: int
    address: str
    is_given: bool
    recognition: Recognition
    is_temporary: Named
    is_version: Named
    former: Mapping[str, Any] | None = None
    predictions: bool = False
    notes: list[str] = field(default_factory=list)

    def parts(self) -> list[Part]:
        """Everything there is to take back, in the order in which to do it.

        Raises LabelStudioError.
        """
        self.notes.clear()
        fields = self.client.project(self.project)
        webhooks = self.client.webhooks(self.project)
        ours = [each for each in webhooks if self._is_our_webhook(each)]
        self.notes.extend(unrecognised(each for each in webhooks if each not in ours))
        return [
            *(Part("webhook", each["url"], partial(self.client.delete_webhook, each["id"])) for each in ours),
            *self._backends({address(each) for each in ours}),
            *self._views(),
            *self._predictions(),
            *self._settings(fields),
            *self._label_config(fields),
        ]

    def _is_our_webhook(self, webhook: Mapping[str, Any]) -> bool:
        if address(webhook) == self.address:
            named = has_our_events(webhook) and not self.recognition.is_strange(webhook)
            return self.is_given or named or self.recognition.is_ours(webhook)
        return self.recognition.is_ours(webhook)

    def _backends(self, addresses: set[str]) -> Iterator[Part]:
        for each in self.client.ml_backends(self.project):
            service = each["url"].rstrip("/")
            titled = each["title"] == BACKEND_TITLE
            answers = self.recognition.answers(service)
            # At the default address may be the service of somebody else, on the machine of Label Studio.
            here = service == self.address and (self.is_given or (titled and answers is None))
            if here or service in addresses or answers:
                yield Part("ML backend", service, partial(self.client.delete_ml_backend, each["id"]))
            elif titled and answers is None:
                self.notes.append(
                    f"The ML backend {service} may be this service under a former address, which does not "
                    f"answer now: if it is, run dsal disconnect again with --backend {service}."
                )

    def _views(self) -> Iterator[Part]:
        for view in self.client.views(self.project):
            if _is_ours(view):
                delete = partial(self.client.delete_view, view["id"])
                yield Part("view", str(view["data"].get("title")), delete)

    def _predictions(self) -> Iterator[Part]:
        for version, count in self.client.model_versions(self.project).items():
            if version == BATCH_VERSION:
                name = "marks"
            elif re.fullmatch(assignment_version(r"\S+"), version):
                name = "assignments"
            elif self.is_temporary(version):
                name = "predictions kept for open pages"
            elif self.predictions and self.is_version(version):
                name = "predictions"
            else:
                continue
            delete = partial(self.client.delete_model_version, self.project, version)
            yield Part(name, f"{version} ({count})", delete)

    def _settings(self, fields: Mapping[str, Any]) -> Iterator[Part]:
        former = NEW if self.former is None else self.former
        changed = {
            name: former[name]
            for name, ours in OURS.items()
            if name in former and fields.get(name) in ours and fields.get(name) != former[name]
        }
        version = former.get("model_version") or ""
        if self._is_our_version(fields.get("model_version")):
            changed["model_version"] = "" if self._is_our_version(version) else version
        if changed:
            told = ", ".join(f"{name} back to {value!r}" for name, value in changed.items())
            yield Part("settings", told, partial(self._restore, changed))

    def _is_our_version(self, name: Any) -> bool:
        text = str(name or "")
        return text == BACKEND_TITLE or self.is_version(text) or self.is_temporary(text)

    def _restore(self, changed: Mapping[str, Any]) -> None:
        try:
            self.client.patch_project(self.project, **changed)
        except LabelStudioError as error:
            if error.status != 400 or "model_version" not in changed:
                raise
            # Its predictions were deleted since.
            self.client.patch_project(self.project, **{**changed, "model_version": ""})

    def _label_config(self, fields: Mapping[str, Any]) -> Iterator[Part]:
        present = str(fields.get("label_config") or "")
        former = None if self.former is None else str(self.former["label_config"] or "")
        wanted = _without_ours(present, former)
        if wanted is not None:
            what = "smart tags" if _labels(wanted) else "labels"
            patch = partial(self._restore_config, wanted, what)
            yield Part(what, "removed", patch)

    def _restore_config(self, wanted: str, what: str) -> None:
        try:
            self.client.patch_project(self.project, label_config=wanted)
        except LabelStudioError as error:
            if error.status != 400:
                raise
            self.notes.append(
                f"The {what} stay in the labeling config: Label Studio keeps what annotations need."
            )


def _labels(xml: str) -> tuple[str, ...]:
    """The labels of a labeling config; none if it draws no masks."""
    try:
        return parse(xml).labels
    except LabelConfigError:
        return ()


def take_back(parts: Sequence[Part]) -> Iterator[Part]:
    """Take back one after another, and yield each; what is gone meanwhile counts as taken back.

    Raises LabelStudioError.
    """
    for part in parts:
        try:
            part.take_back()
        except LabelStudioError as error:
            if error.status != GONE:
                raise
        yield part


def _is_ours(view: Mapping[str, Any]) -> bool:
    return is_shared_view(view) or is_check_view(view) or annotator_of(view) is not None


def _without_ours(present: str, former: str | None) -> str | None:
    """The labeling config without what `connect` added to it; None if there is nothing of it."""
    try:
        if former is not None and _labels(former):
            if present != former and add_smart_tags(former) == present:
                return former
            if any(name in former for name in SMART_NAMES):
                return None
        without = remove_smart_tags(present)
        if former is not None and not _labels(former):
            written = default_config(parse(without).labels)
            if without.strip() == written.strip():
                return former or "<View></View>"
    except LabelConfigError:
        return None
    return without if without != present else None
