"""Cheap queries on a whole project: what has changed, and which tasks lack predictions or have duplicates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ml_backend.label_studio.data_manager import (
    ANNOTATED,
    NOT_SKIPPED,
    PAGE,
    UNLABELLED,
    DataManager,
    has_version,
    later_than,
    names_version,
    version_names,
)


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

    def hides_changes(self, since: Extent) -> bool:
        """Whether labels have changed in between whose time does not tell so.

        That is so after Label Studio's clock was set back: there are more labels, and none is later.
        """
        if self.changed_at > since.changed_at:
            return False
        return self.annotations > since.annotations or (
            self.changed_at < since.changed_at and self.tasks >= since.tasks
        )


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
        return self._count(project, later_than("created_at", datetime.fromisoformat(changed_at)))

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
        filters = {"conjunction": "and", "items": [has_version(version), ANNOTATED]}
        ordering = ["-tasks:updated_at"]
        answer = self._page(project, "id", size=limit, filters=filters, ordering=ordering)
        return {row["id"] for row in answer["tasks"]}

    def labelled_now(self, project: int, tasks: Sequence[int]) -> set[int]:
        """Return those of `tasks` that are in the project and have an annotation other than a skip."""
        return {row["id"] for row in self._chosen(project, tasks, "id", ANNOTATED)}

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
