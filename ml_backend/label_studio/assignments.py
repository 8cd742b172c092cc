"""Assignments: tasks reserved for one annotator each; marks: the tasks that all annotators label next."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ml_backend.label_studio.blueprint import BATCH_VERSION, annotator_of, assignment_version
from ml_backend.label_studio.data_manager import NOT_SKIPPED, UNLABELLED, view_filter
from ml_backend.label_studio.predictions import Predictions
from ml_backend.label_studio.sdk import plain_list

PAGE = 100

_LOCKED = {"filter": "filter:tasks:locks", "operator": "empty", "type": "Number", "value": False}
"""Label Studio locks a task for the user it serves it to. Only its API has this filter, not its web pages."""
_HAS_DRAFT = {"filter": "filter:tasks:draft_exists", "operator": "equal", "type": "Boolean", "value": True}


@dataclass(frozen=True)
class AssignedTasks:
    """The tasks assigned to one annotator: those still to label, and those labelled or skipped."""

    waiting: frozenset[int]
    done: frozenset[int]


class Assignments(Predictions):
    """Calls about which annotator has which task, and which are to be labelled next.

    All raise LabelStudioError.

    An assignment is stored as a prediction without regions whose version names the annotator, and a mark as
    one of `BATCH_VERSION`. Label Studio shows them in the versions column, but does not count them in the
    score or draw them while labelling.
    """

    def annotators(self, project: int) -> dict[str, int]:
        """Return {e-mail address: view id} of the annotators' views."""
        return {email: int(view["id"]) for view in self.views(project) if (email := annotator_of(view))}

    def emails(self) -> list[str]:
        """Return the e-mail addresses of all users."""
        return [str(user["email"]) for user in plain_list(self._sdk.users.with_raw_response.list())]

    def assigned(self, project: int, email: str) -> AssignedTasks:
        """Return the tasks assigned to one annotator."""
        fields = "id,total_annotations,cancelled_annotations"
        filters = {"conjunction": "and", "items": [view_filter(assignment_version(email))]}
        rows = list(self._rows(project, fields, filters=filters, size=PAGE))
        done = {row["id"] for row in rows if row["total_annotations"] or row["cancelled_annotations"]}
        return AssignedTasks(frozenset(row["id"] for row in rows) - done, frozenset(done))

    def opened(self, project: int) -> set[int]:
        """Return the tasks to label that Label Studio has served to someone, or that have a draft."""
        return {
            row["id"]
            for condition in (_LOCKED, _HAS_DRAFT)
            for row in self._rows(
                project,
                "id",
                filters={"conjunction": "and", "items": [UNLABELLED, NOT_SKIPPED, condition]},
                size=PAGE,
            )
        }

    def assign(self, project: int, tasks: Mapping[int, str]) -> None:
        """Assign tasks, given as {task: e-mail address}; tasks that no longer exist are left out."""
        reservations: list[dict[str, Any]] = [
            {"task": task, "result": [], "score": None, "model_version": assignment_version(email)}
            for task, email in tasks.items()
        ]
        self.import_all(project, reservations)

    def marked(self, project: int) -> set[int]:
        """Return the tasks that are marked as those to label next, the labelled ones included."""
        filters = {"conjunction": "and", "items": [view_filter(BATCH_VERSION)]}
        return {row["id"] for row in self._rows(project, "id", filters=filters, size=PAGE)}

    def mark(self, project: int, tasks: Iterable[int]) -> None:
        """Mark tasks as those to label next; tasks that no longer exist are left out."""
        marks: list[dict[str, Any]] = [
            {"task": task, "result": [], "score": None, "model_version": BATCH_VERSION} for task in tasks
        ]
        self.import_all(project, marks)

    def unmark(self, task: int) -> None:
        """Remove a task's marks, if it has any."""
        self._delete_empty(task, BATCH_VERSION)

    def unassign(self, task: int, email: str) -> None:
        """Delete a task's assignment, if it has one."""
        self._delete_empty(task, assignment_version(email))

    def _delete_empty(self, task: int, version: str) -> None:
        for prediction in self.predictions(task):
            if prediction["model_version"] == version:
                self.delete_prediction(prediction["id"])
