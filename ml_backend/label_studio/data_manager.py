"""The Data Manager: views, filters, the order of the tasks, and the next task an annotator gets."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any

from ml_backend.label_studio.errors import FAILED, LabelStudioError, refusal
from ml_backend.label_studio.sdk import Resource, plain, plain_list

SCORE = "tasks:predictions_score"

PAGE = 500
COLUMN_CHARACTERS = 500
LONG_SECONDS = 300.0


def by_score(highest_first: bool) -> list[str]:
    """Return a view's ordering by prediction score; tasks without a score come last in both directions."""
    return [f"-{SCORE}" if highest_first else SCORE]


def number_filter(column: str, operator: str, value: int) -> dict[str, Any]:
    """Return a Data Manager filter on a numeric column: `operator` is equal, greater, less, …."""
    return {"filter": f"filter:tasks:{column}", "operator": operator, "type": "Number", "value": value}


def later_than(column: str, moment: datetime) -> dict[str, Any]:
    """Return a Data Manager filter on a date column."""
    return {
        "filter": f"filter:tasks:{column}",
        "operator": "greater",
        "type": "Datetime",
        # At whole seconds Label Studio omits the fraction, and then rejects its own time stamp.
        "value": moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    }


ANNOTATED = number_filter("total_annotations", "greater", 0)
UNLABELLED = number_filter("total_annotations", "equal", 0)
NOT_SKIPPED = number_filter("cancelled_annotations", "equal", 0)
SKIPPED = number_filter("cancelled_annotations", "greater", 0)
TO_LABEL: Mapping[str, Any] = {"conjunction": "and", "items": [UNLABELLED, NOT_SKIPPED]}
"""Tasks that nobody has annotated or skipped."""


def view_filter(name: str) -> dict[str, Any]:
    """Return a view's filter on tasks that have a prediction whose version contains `name`.

    The browser keeps this form; it drops filters on columns it does not list and with other operators.
    """
    return {
        "filter": "filter:tasks:predictions_model_versions",
        "operator": "contains",
        "type": "List",
        # Label Studio would match a bare string letter by letter.
        "value": [name],
    }


class DataManager(Resource):
    """Calls about views and the order of tasks. All raise LabelStudioError."""

    def views(self, project: int) -> list[dict[str, Any]]:
        """Return the project's views (Data Manager tabs); a deleted project raises with status 404."""
        try:
            return plain_list(self._sdk.views.with_raw_response.list(project=project))
        except LabelStudioError as error:
            # For a deleted project Label Studio answers 400, an invalid choice in a form.
            if error.status == 400 and "available choices" in error.detail:
                path = f"/api/projects/{project}/"
                raise refusal(404, "GET", path, self._http.base_url, "") from error
            raise

    def create_view(self, project: int, data: Mapping[str, Any]) -> dict[str, Any]:
        """Create a view; `data` contains title, type, ordering, filters, …."""
        rules: Any = dict(data)
        return plain(self._sdk.views.with_raw_response.create(project=project, data=rules))

    def patch_view(self, view: int, project: int, data: Mapping[str, Any]) -> dict[str, Any]:
        """Replace the `data` of a view."""
        rules: Any = dict(data)
        return plain(self._sdk.views.with_raw_response.update(str(view), project=project, data=rules))

    def delete_view(self, view: int) -> None:
        """Delete a view."""
        self._sdk.views.delete(str(view))

    def next_task(self, project: int, view: int) -> dict[str, Any] | None:
        """Return the task that "Label Tasks As Displayed" opens next in this view, or None if none is left.

        Sends what the browser sends: the view's ordering and filters. The task has `id`, `data` and the
        `predictions` that the annotator would see, RLE included.
        """
        data = plain(self._sdk.views.with_raw_response.get(str(view)))["data"]
        shown = {key: data[key] for key in ("ordering", "filters") if data.get(key)}
        try:
            # With the SDK's `view` argument Label Studio would use the view's rules instead of those sent.
            action = self._sdk.actions.with_raw_response.create(
                id="next_task",
                project=project,
                request_options={"additional_query_parameters": {"tabID": view}},
                **shown,
            )
        except LabelStudioError as error:
            if error.status == 404 and "no tasks" in error.detail:
                return None
            raise
        return plain(action)

    def ordered_scores(
        self, project: int, limit: int, *, highest_first: bool = True
    ) -> list[tuple[int, float | None]]:
        """Return the first `limit` tasks to label as (task id, score), in Label Studio's order.

        The score is the mean over the predictions of the project's `model_version`, or None without any.
        """
        rows = self._rows(
            project,
            "id,predictions_score",
            ordering=by_score(highest_first),
            filters=TO_LABEL,
            size=min(limit, PAGE),
        )
        try:
            return [(row["id"], row["predictions_score"]) for row in islice(rows, limit)]
        except LabelStudioError as error:
            # In a project without tasks Label Studio leaves the score away and then fails to order by it.
            if error.status == FAILED and "predictions_score" in error.detail:
                return []
            raise

    def existing(self, project: int, tasks: Sequence[int]) -> set[int]:
        """Return those of `tasks` that are still in the project."""
        return {row["id"] for row in self._chosen(project, tasks, "id", None)}

    def task_data(self, project: int, tasks: Sequence[int]) -> dict[int, dict[str, Any]]:
        """Return {task id: data} for those of `tasks` that are still in the project."""
        return {row["id"]: row["data"] for row in self._chosen(project, tasks, "id,data", None)}

    def data_to_label(self, project: int, tasks: Sequence[int]) -> dict[int, dict[str, Any]]:
        """Return {task id: data} for those of `tasks` that are in the project and not annotated."""
        return {row["id"]: row["data"] for row in self._chosen(project, tasks, "id,data", UNLABELLED)}

    def predictions_of(self, project: int, tasks: Sequence[int], version: str) -> set[int]:
        """Return those of `tasks` that have a prediction of exactly this version; fetches no masks."""
        rows = self._chosen(project, tasks, "id,predictions_model_versions", has_version(version))
        return {row["id"] for row in rows if names_version(row["predictions_model_versions"], version)}

    def _chosen(
        self,
        project: int,
        tasks: Sequence[int],
        fields: str,
        condition: Mapping[str, Any] | None,
        *,
        whole: bool = False,
    ) -> Iterator[dict[str, Any]]:
        # The ids are part of the URL, which servers commonly limit to 8 kB.
        for start in range(0, len(tasks), 200):
            chosen = {"all": False, "included": list(tasks[start : start + 200])}
            filters = {"conjunction": "and", "items": [condition] if condition else []}
            yield from self._rows(
                project, fields, filters=filters, selectedItems=chosen, size=200, whole=whole
            )

    def _rows(self, project: int, fields: str, *, size: int, **query: Any) -> Iterator[dict[str, Any]]:
        """Yield the tasks of a Data Manager listing with only the wanted `fields`, in pages of `size`.

        `query` may contain `whole`, as that of `_page`.
        """
        page, seen, total = 1, 0, 1
        while seen < total:
            try:
                answer = self._page(project, fields, page=page, size=size, **query)
            except LabelStudioError as error:
                # The list may shrink while it is read, so its last page may no longer exist.
                if error.status == 404 and page > 1:
                    return
                raise
            yield from answer["tasks"]
            page, seen, total = page + 1, seen + len(answer["tasks"]), answer["total"]
            if not answer["tasks"]:
                return

    def _page(
        self, project: int, include: str, *, size: int, page: int = 1, whole: bool = False, **query: Any
    ) -> dict[str, Any]:
        """Return one page of a listing as plain JSON: `tasks` with only the fields in `include`, and totals.

        `whole` is for listings with annotations or predictions.

        The SDK's `tasks.list` can request the same, but builds a model of 50 fields from each row: 124 ms of
        CPU time for 500 rows, against 2 ms for plain rows.
        """
        params = {"project": project, "include": include, "page": page, "page_size": size}
        if whole:
            params["fields"] = "all"
        params["query"] = json.dumps(query)
        return self._dict("GET", "/api/tasks/", params=params, timeout=LONG_SECONDS)


def has_version(version: str) -> dict[str, Any]:
    """Return a filter on tasks that have a prediction whose version contains `version`."""
    return {
        "filter": "filter:tasks:predictions_model_versions",
        "operator": "contains",
        "type": "String",
        # Label Studio would match a bare string letter by letter; either way it matches substrings.
        "value": [version],
    }


def version_names(value: Any) -> set[str]:
    """Return the version names in a column that Label Studio returns as text; the last may be truncated."""
    names = value.split(",") if isinstance(value, str) else value or []
    return {str(name).strip() for name in names}


def names_version(value: Any, version: str) -> bool:
    """Whether a row that passed `has_version` has exactly this version.

    Label Studio truncates the column at 500 characters. A truncated column counts as having the version,
    because a prediction that is overlooked would be written twice.
    """
    return version in version_names(value) or (isinstance(value, str) and len(value) >= COLUMN_CHARACTERS)
