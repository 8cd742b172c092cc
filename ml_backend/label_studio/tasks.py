"""Tasks with and without their annotations, uploads, and calls that annotators make."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

import httpx

from ml_backend.label_studio.data_manager import (
    ANNOTATED,
    LONG_SECONDS,
    NOT_SKIPPED,
    PAGE,
    SKIPPED,
    UNLABELLED,
    DataManager,
    later_than,
    number_filter,
)
from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.label_studio.json_stream import JsonStreamError, items
from ml_backend.label_studio.sdk import plain, within

_FIELDS = "id,data,is_labeled,total_annotations,cancelled_annotations"
ANNOTATED_PAGE = 50
"""Tasks in one page of a listing that includes masks."""

OVERLAP = timedelta(seconds=10)

WITH_MASKS = (
    "id,data,annotations,result,updated_at,was_cancelled,ground_truth,completed_by,updated_by,lead_time,"
    "parent_prediction"
)
"""Fields of tasks and of their annotations: Label Studio accepts one list for both."""
UPLOAD_FILES = 50
"""Files in one upload; Label Studio refuses more than 100."""


@dataclass(frozen=True)
class Task:
    """One row of the task list, without annotations or predictions.

    `total_annotations` excludes skips, which `cancelled_annotations` counts.
    """

    id: int
    data: dict[str, Any]
    is_labelled: bool
    total_annotations: int
    cancelled_annotations: int


@dataclass(frozen=True)
class Annotation:
    """One submitted annotation; a skip has `was_cancelled`. `updated_at` is Label Studio's ISO time stamp.

    Attributes:
        result: its regions and answers; a list, but imports may contain anything.
        annotator: id of the user who made it; None if Label Studio names no user, as when it was deleted.
        by_person: whether a person saved it, in the editor or through the API. Imported annotations, and
            those that Label Studio made from predictions, were not, unless somebody changed them afterwards.
        parent_prediction: id of the prediction it was made from; None if it was made from nothing, or if that
            prediction was deleted since.
        lead_time: in seconds.
    """

    id: int
    result: Any
    updated_at: str
    was_cancelled: bool
    ground_truth: bool
    annotator: int | None = None
    by_person: bool = True
    parent_prediction: int | None = None
    lead_time: float | None = None


@dataclass(frozen=True)
class AnnotatedTask:
    """A task with all its submitted annotations, skips included, drafts excluded."""

    id: int
    data: dict[str, Any]
    annotations: tuple[Annotation, ...]

    @property
    def accepted(self) -> tuple[Annotation, ...]:
        """The annotations that are not skips."""
        return tuple(each for each in self.annotations if not each.was_cancelled)


class Tasks(DataManager):
    """Calls about tasks. All raise LabelStudioError."""

    def tasks(self, project: int, *, unlabelled: bool | None = None, page: int = PAGE) -> Iterator[Task]:
        """Yield the project's tasks by ascending id, without masks and without triggering our own /predict.

        `unlabelled`: True for tasks without an annotation (skipped ones included), False for the others, None
        for all. Each page requests ids above the last one seen, so no task is missed if annotators submit
        meanwhile.
        """
        wanted = [] if unlabelled is None else [UNLABELLED if unlabelled else ANNOTATED]
        for row in self._rows_by_id(project, _FIELDS, wanted, size=page):
            yield _task(row)

    def labelled_tasks(self, project: int) -> Iterator[AnnotatedTask]:
        """Yield the tasks that have annotations, with their results, while the export arrives.

        Only one task is in memory at a time: ten thousand masks as JSON are gigabytes.
        """
        with self._sdk.projects.exports.with_raw_response.download_sync(
            project, export_type="JSON", download_resources=False, request_options=within(LONG_SECONDS)
        ) as answer:
            try:
                for item in items(answer.data):
                    yield annotated_task(item)
            except (JsonStreamError, httpx.RequestError) as error:
                raise LabelStudioError(
                    f"Label Studio's export of project {project} was interrupted: try again ({error})."
                ) from error

    def changed_since(self, project: int, changed_at: str) -> Iterator[AnnotatedTask]:
        """Yield the tasks changed since an extent's latest change, or all for "", with their annotations.

        This includes tasks without annotations, because theirs may have been deleted, and tasks changed up to
        10 seconds earlier, because changes may be stored out of order. Those without are read without masks:
        a prediction that is replaced counts as a change of its task, and there may be thousands.
        """
        changed = []
        if changed_at:
            changed.append(later_than("updated_at", datetime.fromisoformat(changed_at) - OVERLAP))
        for with_annotations in ([ANNOTATED], [UNLABELLED, SKIPPED]):
            for row in self._rows_by_id(
                project, WITH_MASKS, [*changed, *with_annotations], size=ANNOTATED_PAGE, whole=True
            ):
                yield annotated_task(row)
        for row in self._rows_by_id(project, "id,data", [*changed, UNLABELLED, NOT_SKIPPED], size=PAGE):
            yield AnnotatedTask(row["id"], row["data"], ())

    def _rows_by_id(
        self, project: int, fields: str, conditions: Sequence[Mapping[str, Any]], *, size: int, **options: Any
    ) -> Iterator[dict[str, Any]]:
        """Yield rows by ascending id; each page requests ids above the last one seen."""
        last, more = 0, True
        while more:
            items = [*conditions, number_filter("id", "greater", last)]
            filters = {"conjunction": "and", "items": items}
            answer = self._page(project, fields, size=size, filters=filters, ordering=["tasks:id"], **options)
            for row in answer["tasks"]:
                last = row["id"]
                yield row
            more = answer["total"] > len(answer["tasks"]) > 0

    def some_labelled(self, project: int, limit: int) -> list[AnnotatedTask]:
        """Return the `limit` most recently changed annotated tasks, with their annotations; one request."""
        filters = {"conjunction": "and", "items": [ANNOTATED]}
        ordering = ["-tasks:updated_at"]
        answer = self._page(project, WITH_MASKS, size=limit, whole=True, filters=filters, ordering=ordering)
        return [annotated_task(row) for row in answer["tasks"]]

    def create_tasks(self, project: int, data: Sequence[Mapping[str, Any]]) -> list[int]:
        """Create one task for each data dictionary, e.g. {"image": "https://…"}; return their ids."""
        tasks: Any = [{"data": dict(each)} for each in data]
        answer = self._sdk.projects.with_raw_response.import_tasks(
            project, request=tasks, return_task_ids=True, request_options=within(LONG_SECONDS)
        )
        return list(plain(answer)["task_ids"])

    def upload(self, project: int, files: Mapping[str, bytes]) -> dict[str, int]:
        """Upload image files, one task each; return {file name: task id}.

        Names may only contain letters, digits, dots, dashes and underscores: Label Studio changes other
        characters, so that tasks could not be matched to files. Raises LabelStudioError for such a name.
        """
        found: dict[str, int] = {}
        names = list(files)
        for start in range(0, len(names), UPLOAD_FILES):
            part = {name: files[name] for name in names[start : start + UPLOAD_FILES]}
            found |= self._upload(project, part)
        return found

    def _upload(self, project: int, files: Mapping[str, bytes]) -> dict[str, int]:
        form = {f"file{number}": named for number, named in enumerate(files.items())}
        answer = self._dict(
            "POST",
            f"/api/projects/{project}/import",
            params={"return_task_ids": "true"},
            files=form,
            timeout=LONG_SECONDS,
        )
        created = sorted(answer["task_ids"])
        found = {_uploaded_name(data): task for task, data in self.task_data(project, created).items()}
        missing = sorted(set(files) - set(found))
        if missing:
            raise LabelStudioError(
                f"Label Studio created no task named {missing[0]}: use only letters, digits, dots, dashes "
                "and underscores in file names."
            )
        return found

    def replace_task_data(self, task: int, data: Mapping[str, Any]) -> None:
        """Replace a task's data; its annotations and predictions stay."""
        self._dict("PATCH", f"/api/tasks/{task}/", json={"data": dict(data)})

    def delete_task(self, task: int) -> None:
        """Delete a task with its annotations and predictions."""
        self._sdk.tasks.delete(str(task))

    def submit_annotation(
        self,
        task: int,
        result: Sequence[Mapping[str, Any]],
        *,
        lead_time: float | None = None,
        skip: bool = False,
        parent_prediction: int | None = None,
    ) -> dict[str, Any]:
        """Submit an annotation as the token's owner (or skip the task); Label Studio calls its webhooks.

        `lead_time` is the annotator's time in seconds, `parent_prediction` the id of the prediction that the
        annotation was made from.
        """
        # The SDK visits every number of a mask: 37 ms of processor time for 20 000 of them, not 9.
        body = {"result": list(result), "was_cancelled": skip, "lead_time": lead_time}
        if parent_prediction is not None:
            body["parent_prediction"] = parent_prediction
        return self._dict("POST", f"/api/tasks/{task}/annotations/", json=body)

    def patch_annotation(self, annotation: int, result: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Replace the regions of an annotation."""
        return self._dict("PATCH", f"/api/annotations/{annotation}/", json={"result": list(result)})

    def delete_annotation(self, annotation: int) -> None:
        """Delete an annotation."""
        self._sdk.annotations.delete(annotation)


def _task(row: Mapping[str, Any]) -> Task:
    return Task(
        id=row["id"],
        data=row["data"],
        is_labelled=row["is_labeled"],
        total_annotations=row["total_annotations"],
        cancelled_annotations=row["cancelled_annotations"],
    )


def annotated_task(item: Mapping[str, Any]) -> AnnotatedTask:
    """Return a task with its annotations, from Label Studio's JSON."""
    annotations = tuple(
        Annotation(
            id=each["id"],
            result=each["result"],
            updated_at=each["updated_at"],
            was_cancelled=each["was_cancelled"],
            ground_truth=each["ground_truth"],
            annotator=_user(each.get("completed_by")),
            by_person=_is_by_person(each),
            parent_prediction=each.get("parent_prediction"),
            lead_time=each.get("lead_time"),
        )
        for each in item["annotations"]
    )
    return AnnotatedTask(id=item["id"], data=item["data"], annotations=annotations)


def _user(found: Any) -> int | None:
    """A user's id, which some listings give within an object."""
    number = found.get("id") if isinstance(found, dict) else found
    return number if isinstance(number, int) else None


def _is_by_person(annotation: Mapping[str, Any]) -> bool:
    """Whether a person saved an annotation.

    Label Studio notes the user who saves one as `updated_by`, and leaves that empty for imports and for
    annotations made from predictions in bulk. The editor's `lead_time` survives an export and its import.
    """
    if annotation.get("updated_by") is not None or annotation.get("lead_time"):
        return True
    return "updated_by" not in annotation and annotation.get("parent_prediction") is None


def _uploaded_name(data: Mapping[str, Any]) -> str:
    """Return a file's original name: Label Studio prepends eight hexadecimal digits and a dash."""
    stored = PurePosixPath(str(next(iter(data.values()), ""))).name
    return re.sub(r"^[0-9a-f]{8}-", "", stored)
