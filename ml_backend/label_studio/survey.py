"""Cheap looks at a whole project: has anything changed, what lacks a score, what has two."""

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
from ml_backend.label_studio.tasks import LabelledTask, labelled_task

WITH_ANNOTATIONS = 50
"""Tasks in one page that carries their masks."""

OVERLAP = timedelta(seconds=10)

WITH_MASKS = "id,data,annotations,result,updated_at,was_cancelled,ground_truth,completed_by"
"""Fields of tasks and of their annotations: Label Studio takes one list for both."""


@dataclass(frozen=True)
class Extent:
    """A project's size and its latest change: two that are equal mean that no label has changed between.

    Attributes:
        tasks: number of tasks.
        annotations: number of annotations, skips left out.
        changed_at: when a task, or an annotation of it, was changed last, in Label Studio's own words and by
            its own clock; empty without tasks.
    """

    tasks: int
    annotations: int
    changed_at: str


@dataclass(frozen=True)
class TaskPredictions:
    """What predictions one task has: how many of all versions, and the versions' names."""

    task: int
    count: int
    versions: frozenset[str]

    @property
    def has_double(self) -> bool:
        """Whether some version has more than one prediction of the task."""
        return self.count > len(self.versions)


class Survey(DataManager):
    """Calls that look at all tasks of a project without their masks. All raise LabelStudioError.

    Label Studio itself loads all masks of the tasks on a page, whatever is asked for: the quick ones ask for
    one task and read the totals.
    """

    def extent(self, project: int) -> Extent:
        """Return the project's size and latest change; one request."""
        answer = self._page(project, "id,updated_at", size=1, ordering=["-tasks:updated_at"])
        latest = answer["tasks"][0]["updated_at"] if answer["tasks"] else ""
        return Extent(answer["total"], answer["total_annotations"], latest)

    def unscored(self, project: int) -> int:
        """Return how many tasks to be labelled show no score; one request."""
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
        """Return how many tasks were made after an extent's latest change; one request."""
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
        """Return the annotated tasks changed last, at most `limit`, that have a prediction of a version."""
        filters = {"conjunction": "and", "items": [has_version(version), _ANNOTATED]}
        ordering = ["-tasks:updated_at"]
        answer = self._page(project, "id", size=limit, filters=filters, ordering=ordering)
        return {row["id"] for row in answer["tasks"]}

    def changed_since(self, project: int, changed_at: str) -> Iterator[LabelledTask]:
        """Yield the tasks changed since an extent's latest change, or all for "", with their annotations.

        Tasks without any annotation are among them: theirs may have been deleted. So are some that changed
        shortly before: a change may be stored later than a younger one.
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
                size=WITH_ANNOTATIONS,
                whole=True,
                filters={"conjunction": "and", "items": items},
                ordering=["tasks:id"],
            )
            for row in answer["tasks"]:
                last = row["id"]
                yield labelled_task(row)
            more = answer["total"] > len(answer["tasks"]) > 0

    def labelled_now(self, project: int, tasks: Sequence[int]) -> set[int]:
        """Return those of `tasks` that are in the project and have an annotation that is no skip."""
        return {row["id"] for row in self._chosen(project, tasks, "id", _ANNOTATED)}

    def to_label(self, project: int, tasks: Sequence[int]) -> set[int]:
        """Return those of `tasks` that are in the project, and not annotated; they may be skipped."""
        return {row["id"] for row in self._chosen(project, tasks, "id", UNLABELLED)}

    def _count(self, project: int, *conditions: Mapping[str, Any]) -> int:
        filters = {"conjunction": "and", "items": list(conditions)}
        return int(self._page(project, "id", size=1, filters=filters)["total"])


_ANNOTATED = number_filter("total_annotations", "greater", 0)


def _after(column: str, moment: datetime) -> dict[str, Any]:
    return {
        "filter": f"filter:tasks:{column}",
        "operator": "greater",
        "type": "Datetime",
        # Label Studio leaves out the fraction of a whole second, and then does not read its own time stamp.
        "value": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }
