"""Cheap queries on a whole project: what has changed, and which tasks lack predictions or have duplicates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from ml_backend.label_studio.data_manager import (
    NOT_SKIPPED,
    PAGE,
    UNLABELLED,
    DataManager,
    has_version,
    names_version,
    number_filter,
    version_names,
)
from ml_backend.label_studio.tasks import AnnotatedTask, annotated_task

ANNOTATED_PAGE = 50
"""Tasks in one page of a listing that includes masks."""

OVERLAP = timedelta(seconds=10)

WITH_MASKS = (
    "id,data,annotations,result,updated_at,was_cancelled,ground_truth,completed_by,updated_by,lead_time,"
    "parent_prediction"
)
"""Fields of tasks and of their annotations: Label Studio accepts one list for both."""


@dataclass(frozen=True)
class Extent:
    """A project's size and its latest change; if two are equal, no label has changed in between.

    Attributes:
        tasks: number of tasks.
        annotations: number of annotations, skips left out.
        changed_at: when a task or one of its annotations was last changed, as Label Studio writes it (ISO
            time stamp, Label Studio's clock); empty without tasks.
    """

    tasks: int
    annotations: int
    changed_at: str


@dataclass(frozen=True)
class TaskPredictions:
    """The predictions of one task: their number over all versions, and the versions' names."""

    task: int
    count: int
    versions: frozenset[str]

    @property
    def has_double(self) -> bool:
        """Whether any version has more than one prediction for the task."""
        return self.count > len(self.versions)


class Survey(DataManager):
    """Queries over all tasks of a project. All raise LabelStudioError.

    Label Studio loads all masks of the tasks on a page, whatever fields are requested, so the cheap queries
    request one task and read the totals.
    """

    def extent(self, project: int) -> Extent:
        """Return the project's size and latest change; one request."""
        answer = self._page(project, "id,updated_at", size=1, ordering=["-tasks:updated_at"])
        latest = answer["tasks"][0]["updated_at"] if answer["tasks"] else ""
        return Extent(answer["total"], answer["total_annotations"], latest)

    def unscored(self, project: int) -> int:
        """Return how many tasks to label have no score; one request."""
        no_score = {
            "filter": "filter:tasks:predictions_score",
            "operator": "empty",
            "type": "Number",
            "value": "true",
        }
        return self._count(project, UNLABELLED, NOT_SKIPPED, no_score)

    def tasks_with(self, project: int, version: str) -> int:
        """Return how many tasks have a prediction of a version; one request."""
        return self._count(project, has_version(version))

    def created_since(self, project: int, changed_at: str) -> int:
        """Return how many tasks were created after an extent's latest change; one request."""
        return self._count(project, _after("created_at", datetime.fromisoformat(changed_at)))

    def tasks_with_version(self, project: int, version: str) -> Iterator[TaskPredictions]:
        """Yield the tasks that have a prediction of exactly this version."""
        fields = "id,total_predictions,predictions_model_versions"
        filters = {"conjunction": "and", "items": [has_version(version)]}
        for row in self._rows(project, fields, size=PAGE, filters=filters, ordering=["tasks:id"]):
            names = row["predictions_model_versions"]
            if names_version(names, version):
                yield TaskPredictions(row["id"], row["total_predictions"], frozenset(version_names(names)))

    def labelled_last(self, project: int, version: str, limit: int) -> set[int]:
        """Return the `limit` most recently changed annotated tasks that have a prediction of a version."""
        filters = {"conjunction": "and", "items": [has_version(version), _ANNOTATED]}
        ordering = ["-tasks:updated_at"]
        answer = self._page(project, "id", size=limit, filters=filters, ordering=ordering)
        return {row["id"] for row in answer["tasks"]}

    def changed_since(self, project: int, changed_at: str) -> Iterator[AnnotatedTask]:
        """Yield the tasks changed since an extent's latest change, or all for "", with their annotations.

        This includes tasks without annotations, because theirs may have been deleted, and tasks changed up to
        10 seconds earlier, because changes may be stored out of order.
        """
        changed = []
        if changed_at:
            changed.append(_after("updated_at", datetime.fromisoformat(changed_at) - OVERLAP))
        last, more = 0, True
        while more:
            items = [*changed, number_filter("id", "greater", last)]
            answer = self._page(
                project,
                WITH_MASKS,
                size=ANNOTATED_PAGE,
                whole=True,
                filters={"conjunction": "and", "items": items},
                ordering=["tasks:id"],
            )
            for row in answer["tasks"]:
                last = row["id"]
                yield annotated_task(row)
            more = answer["total"] > len(answer["tasks"]) > 0

    def some_labelled(self, project: int, limit: int) -> list[AnnotatedTask]:
        """Return the `limit` most recently changed annotated tasks, with their annotations; one request."""
        filters = {"conjunction": "and", "items": [_ANNOTATED]}
        ordering = ["-tasks:updated_at"]
        answer = self._page(project, WITH_MASKS, size=limit, whole=True, filters=filters, ordering=ordering)
        return [annotated_task(row) for row in answer["tasks"]]

    def labelled_now(self, project: int, tasks: Sequence[int]) -> set[int]:
        """Return those of `tasks` that are in the project and have an annotation other than a skip."""
        return {row["id"] for row in self._chosen(project, tasks, "id", _ANNOTATED)}

    def to_label(self, project: int, tasks: Sequence[int]) -> set[int]:
        """Return those of `tasks` that are in the project and not annotated; they may be skipped."""
        return {row["id"] for row in self._chosen(project, tasks, "id", UNLABELLED)}

    def neither_labelled_nor_skipped(self, project: int, tasks: Sequence[int]) -> set[int]:
        """Return those of `tasks` that nobody has annotated or skipped."""
        fields = "id,cancelled_annotations"
        return {
            row["id"]
            for row in self._chosen(project, tasks, fields, UNLABELLED)
            if not row["cancelled_annotations"]
        }

    def _count(self, project: int, *conditions: Mapping[str, Any]) -> int:
        filters = {"conjunction": "and", "items": list(conditions)}
        return int(self._page(project, "id", size=1, filters=filters)["total"])


_ANNOTATED = number_filter("total_annotations", "greater", 0)


def _after(column: str, moment: datetime) -> dict[str, Any]:
    return {
        "filter": f"filter:tasks:{column}",
        "operator": "greater",
        "type": "Datetime",
        # At whole seconds Label Studio omits the fraction, and then rejects its own time stamp.
        "value": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
