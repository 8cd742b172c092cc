"""The configuration of a connected project in Label Studio: its settings, events and views."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ml_backend.label_studio.data_manager import (
    NOT_SKIPPED,
    TO_LABEL,
    UNLABELLED,
    by_score,
    number_filter,
    view_filter,
)

BACKEND_TITLE = "dsal"
"""Title of the ML backend. No version may have it: Label Studio would call us instead of its database."""

EVENTS = (
    "ANNOTATION_CREATED",
    "ANNOTATION_UPDATED",
    "ANNOTATIONS_CREATED",
    "ANNOTATIONS_DELETED",
    "TASKS_CREATED",
    "TASKS_DELETED",
)
"""Events we act on. PROJECT_UPDATED is left out: each version we publish would send us one.

START_TRAINING is not a webhook event: Label Studio posts it directly to the backend, with basic auth.
"""

SHOWN_FIELDS: Mapping[str, Any] = {
    # Annotators see the predictions of the project's `model_version`, drawn when they open a task.
    "show_collab_predictions": True,
    # Otherwise each Data Manager page would call /predict for all its tasks without a prediction.
    "evaluate_predictions_automatically": False,
}
"""Project settings without which annotators would see no masks, or would wait for them."""


@dataclass(frozen=True)
class Order:
    """How Label Studio serves a project's tasks.

    Attributes:
        highest_first: whether the highest score comes first, otherwise the lowest.
        batch: whether the shared view contains only the tasks that are marked as the ones to label next,
            because the query strategy does not follow the score.
    """

    highest_first: bool
    batch: bool = False


def order_fields(order: Order) -> dict[str, Any]:
    """Return the project settings that keep the order.

    "Label All Tasks" follows the sampling, and ignores all views. Uncertainty sampling serves the lowest
    score first, which is right only for a query strategy whose lowest scores are labelled first.
    """
    return {"sampling": "Sequential sampling" if order.highest_first else "Uncertainty sampling"}


def project_fields(order: Order) -> dict[str, Any]:
    """Return all settings of a connected project."""
    return {**order_fields(order), **SHOWN_FIELDS}


VIEW_TITLE = "Most informative first"

BATCH_VERSION = "to label next"
"""Version of the prediction without regions that marks a task as one to label next."""


def view_rules(order: Order) -> dict[str, Any]:
    """Return the rules of the shared view: tasks that nobody has annotated or skipped, sorted by score.

    Of a batch it contains only the marked tasks. A browser keeps sending the filters that it read when the
    page was opened, so the filter never changes from batch to batch; the marks do.
    """
    filters = TO_LABEL
    if order.batch:
        filters = {**TO_LABEL, "items": [*TO_LABEL["items"], view_filter(BATCH_VERSION)]}
    return {"ordering": by_score(order.highest_first), "filters": filters}


def is_check_view(view: Mapping[str, Any]) -> bool:
    """Whether a view is that of the labels to look at again."""
    return bool(view["data"].get("title") == CHECK_VIEW_TITLE)


def is_shared_view(view: Mapping[str, Any]) -> bool:
    """Whether a view is the shared one, by its title or, if a person renamed it, by its rules."""
    if view["data"].get("title") == VIEW_TITLE:
        return True
    orders = [Order(highest, batch) for highest in (True, False) for batch in (True, False)]
    return any(view_rules(order).items() <= view["data"].items() for order in orders)


_HIDDEN = (
    "inner_id",
    "completed_at",
    "cancelled_annotations",
    "total_predictions",
    "annotators",
    "annotations_results",
    "annotations_ids",
    "file_upload",
    "storage_filename",
    "created_at",
    "updated_at",
    "updated_by",
    "avg_lead_time",
    "draft_exists",
)
_HIDDEN_WHILE_LABELING = (
    "id",
    "total_annotations",
    "predictions_model_versions",
    "predictions_results",
)

VIEW_COLUMNS: Mapping[str, Any] = {
    "hiddenColumns": {
        "explore": [f"tasks:{column}" for column in _HIDDEN],
        "labeling": [f"tasks:{column}" for column in (*_HIDDEN, *_HIDDEN_WHILE_LABELING)],
    }
}
"""Columns of a new view: image, id, annotations, score, version, and results of the prediction, which begin
with the estimate of its quality. Later changes by users are kept."""

CHECK_VIEW_TITLE = "Check these labels"
"""Title of the view of labels to look at again."""


def check_rules(tasks: Sequence[int]) -> dict[str, Any]:
    """Return the rules of the view that shows these tasks, of which there must be at least one.

    The browser keeps a filter on ids with "equal"; it has no list of them.
    """
    items = [number_filter("id", "equal", task) for task in tasks]
    return {"ordering": [], "filters": {"conjunction": "or", "items": items}}


ANNOTATOR_VIEW_TITLE = "{email}: most informative first"


def assignment_version(email: str) -> str:
    """Return the version of the prediction without regions that assigns a task to an annotator.

    Label Studio filters versions by substring: the words around the address keep it from matching a longer
    address that contains it.
    """
    return f"for {email} only"


def annotator_rules(email: str, order: Order) -> dict[str, Any]:
    """Return the rules of a view that serves the tasks assigned to one annotator, most informative first.

    A browser keeps sending the filters that it read when the page was opened, so the filters never change;
    the assignments do.
    """
    return {
        "ordering": by_score(order.highest_first),
        "filters": {
            "conjunction": "and",
            "items": [UNLABELLED, NOT_SKIPPED, view_filter(assignment_version(email))],
        },
    }


def annotator_of(view: Mapping[str, Any]) -> str | None:
    """Return the e-mail address of a view's annotator, from its filter or, if that was changed, its title."""
    items = view["data"].get("filters", {}).get("items", [])
    values = [value for item in items if isinstance(item["value"], list) for value in item["value"]]
    found = [re.fullmatch(r"for (\S+) only", str(value)) for value in values]
    found.append(re.fullmatch(r"(\S+): most informative first", str(view["data"].get("title"))))
    return next((match[1] for match in found if match), None)
