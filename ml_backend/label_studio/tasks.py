"""Tasks with and without their annotations, uploads, and calls that annotators make."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import PurePosixPath
from typing import Any

import httpx

from ml_backend.items import contained
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
from ml_backend.label_studio.errors import FAILED, LabelStudioError
from ml_backend.label_studio.json_stream import JsonStreamError, items
from ml_backend.label_studio.sdk import plain, within

logger = logging.getLogger(__name__)

_FIELDS = "id,data,is_labeled,total_annotations,cancelled_annotations"
ANNOTATED_PAGE = 50
"""Tasks in one page of a listing that includes masks."""

OVERLAP = timedelta(seconds=10)

WITH_MASKS = (
    "id,data,annotations,result,updated_at,was_cancelled,ground_truth,completed_by,updated_by,lead_time,"
    "parent_prediction"
)
"""Fields of tasks and of their annotations: Label Studio accepts one list for both."""
LONGEST_LEAD_TIME = 10.0**9
"""Seconds; nobody works longer on an annotation."""

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
    """A task with all its submitted annotations, skips included, drafts excluded.

    Attributes:
        problems: one sentence for each annotation that is so malformed that it is left out.
    """

    id: int
    data: dict[str, Any]
    annotations: tuple[Annotation, ...]
    problems: tuple[str, ...] = ()

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
                yield from readable(items(answer.data))
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
            yield from readable(
                self._rows_by_id(
                    project, WITH_MASKS, [*changed, *with_annotations], size=ANNOTATED_PAGE, whole=True
                )
            )
        for row in self._rows_by_id(project, "id,data", [*changed, UNLABELLED, NOT_SKIPPED], size=PAGE):
            yield AnnotatedTask(row["id"], _data(row), ())

    def _rows_by_id(
        self, project: int, fields: str, conditions: Sequence[Mapping[str, Any]], *, size: int, **options: Any
    ) -> Iterator[dict[str, Any]]:
        """Yield rows by ascending id; each page requests ids above the last one seen."""
        last, more = 0, True
        while more:
            items = [*conditions, number_filter("id", "greater", last)]
            query: dict[str, Any] = {
                "filters": {"conjunction": "and", "items": items},
                "ordering": ["tasks:id"],
                "size": size,
            }
            try:
                answer = self._page(project, fields, **query, **options)
                rows: Iterable[dict[str, Any]] = answer["tasks"]
            except LabelStudioError as error:
                if error.status != FAILED:
                    raise
                answer = self._page(project, "id", **query)
                rows = self._rows_one_by_one(
                    project, fields, [row["id"] for row in answer["tasks"]], **options
                )
            yield from rows
            last = max((row["id"] for row in answer["tasks"]), default=last)
            more = answer["total"] > len(answer["tasks"]) > 0

    def _rows_one_by_one(
        self, project: int, fields: str, tasks: Sequence[int], **options: Any
    ) -> Iterator[dict[str, Any]]:
        """Yield the rows of a page that Label Studio fails on, without the tasks at fault.

        It stores half of a surrogate pair in a task's data, but cannot send it: every page with that task is
        an error. The page is halved until such a task is alone.
        """
        try:
            yield from list(self._chosen(project, tasks, fields, None, **options))
        except LabelStudioError as error:
            if error.status != FAILED:
                raise
            if len(tasks) == 1:
                logger.error("Task %d of project %d is left out: %s", tasks[0], project, error)
                return
            half = len(tasks) // 2
            for part in (tasks[:half], tasks[half:]):
                yield from self._rows_one_by_one(project, fields, part, **options)

    def some_labelled(self, project: int, limit: int) -> list[AnnotatedTask]:
        """Return the `limit` most recently changed annotated tasks, with their annotations; one request."""
        filters = {"conjunction": "and", "items": [ANNOTATED]}
        ordering = ["-tasks:updated_at"]
        answer = self._page(project, WITH_MASKS, size=limit, whole=True, filters=filters, ordering=ordering)
        return list(readable(answer["tasks"]))

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
        data=_data(row),
        is_labelled=row["is_labeled"],
        total_annotations=row["total_annotations"],
        cancelled_annotations=row["cancelled_annotations"],
    )


def readable(found: Iterable[Any]) -> Iterator[AnnotatedTask]:
    """The tasks of an answer; one without an id is only logged, as nothing could name it."""
    for place, item in enumerate(found, start=1):
        tasks: list[AnnotatedTask] = []
        with contained(f"Item {place} of Label Studio's answer", logger.warning):
            tasks.append(annotated_task(item))
        yield from tasks


def annotated_task(item: Mapping[str, Any]) -> AnnotatedTask:
    """Return a task with its annotations, from Label Studio's JSON; malformed annotations are left out."""
    task = _id(item)
    annotations: list[Annotation] = []
    problems: list[str] = []
    stored = item.get("annotations")
    for each in stored if isinstance(stored, list) else []:
        with contained(f"Annotation {_number_of(each)} of task {task}", problems.append):
            annotations.append(_annotation(each))
    return AnnotatedTask(task, _data(item), tuple(annotations), tuple(problems))


def _annotation(found: Mapping[str, Any]) -> Annotation:
    changed_at = str(found["updated_at"])
    datetime.fromisoformat(changed_at)  # it is compared with those of others
    return Annotation(
        id=_id(found),
        result=found["result"],
        updated_at=changed_at,
        was_cancelled=bool(found["was_cancelled"]),
        ground_truth=bool(found["ground_truth"]),
        annotator=_user(found.get("completed_by")),
        by_person=_is_by_person(found),
        parent_prediction=_storable_id(found.get("parent_prediction")),
        lead_time=_seconds(found.get("lead_time")),
    )


def _id(found: Mapping[str, Any]) -> int:
    number = _storable_id(found["id"])
    if number is None:
        raise ValueError("an id must be a whole number")
    return number


def _data(row: Mapping[str, Any]) -> dict[str, Any]:
    """A task's data; empty if it is no object, so that its image is reported as missing."""
    found = row.get("data")
    return found if isinstance(found, dict) else {}


def _number_of(annotation: Any) -> Any:
    """An annotation's id for a sentence, as far as it has one."""
    found = annotation.get("id") if isinstance(annotation, dict) else None
    return found if isinstance(found, int) else "without an id"


def _storable_id(found: Any) -> int | None:
    return found if type(found) is int and 0 <= found < 2**63 else None


def _seconds(found: Any) -> float | None:
    """A duration that can be compared and averaged; None for anything else."""
    if isinstance(found, bool) or not isinstance(found, int | float):
        return None
    return float(found) if 0 <= found < LONGEST_LEAD_TIME else None


def _user(found: Any) -> int | None:
    """A user's id, which some listings give within an object."""
    number = found.get("id") if isinstance(found, dict) else found
    return _storable_id(number)


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
