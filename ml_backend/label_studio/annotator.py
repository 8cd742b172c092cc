"""A person who labels what the "Most informative first" view hands out, through Label Studio's own API."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .client import LabelStudio


@dataclass(frozen=True)
class HandedTask:
    """A task as an annotator gets it, with the predictions drawn on it; `opened` is a monotonic time."""

    id: int
    data: dict[str, Any]
    predictions: list[dict[str, Any]]
    opened: float = field(default_factory=time.monotonic)


class Annotator:
    """Works through one view of a project as the owner of the client's token. Raises LabelStudioError."""

    def __init__(self, client: LabelStudio, project: int, view: int) -> None:
        self._client = client
        self._project = project
        self._view = view

    def next_task(self) -> HandedTask | None:
        """Return the task that the view hands out next, None when all are done."""
        task = self._client.next_task(self._project, self._view)
        return None if task is None else HandedTask(task["id"], task["data"], task["predictions"])

    def submit(self, task: HandedTask, result: Sequence[Mapping[str, Any]]) -> int:
        """Submit regions for a task, with the seconds since it was handed out; return the annotation's id."""
        lead_time = time.monotonic() - task.opened
        return int(self._client.submit_annotation(task.id, result, lead_time=lead_time)["id"])

    def skip(self, task: HandedTask) -> int:
        """Skip a task; return the id of the annotation that Label Studio keeps for it."""
        lead_time = time.monotonic() - task.opened
        return int(self._client.submit_annotation(task.id, [], lead_time=lead_time, skip=True)["id"])
