"""What a connected project looks like in Label Studio: its settings, its events, its view."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ml_backend.label_studio.data_manager import NOT_SKIPPED, TO_LABEL, UNLABELLED, by_score, has_mark

BACKEND_TITLE = "dsal"
"""Title of the ML backend. Never the name of a version: Label Studio would ask us instead of its database."""

EVENTS = (
    "ANNOTATION_CREATED",
    "ANNOTATION_UPDATED",
    "ANNOTATIONS_CREATED",
    "ANNOTATIONS_DELETED",
    "TASKS_CREATED",
    "TASKS_DELETED",
)
"""Events we act on. PROJECT_UPDATED is left out: each version we publish would send us one.

START_TRAINING is no webhook event: Label Studio posts it to the backend itself, with basic auth.
"""

SHOWN_FIELDS: Mapping[str, Any] = {
    # Annotators see the predictions of the project's `model_version`, drawn when they open a task.
    "show_collab_predictions": True,
    # Otherwise each page of the Data Manager would call /predict for all its tasks without a prediction.
    "evaluate_predictions_automatically": False,
}
"""Settings of the project without which annotators see no masks, or wait for them."""


def order_fields(highest_first: bool) -> dict[str, Any]:
    """Return the settings of the project without which the order is lost.

    Uncertainty sampling, which "Label All Tasks" follows, serves the lowest score first: right for a query
    strategy that is read from the bottom, and the very reverse of one that is read from the top.
    """
    return {"sampling": "Sequential sampling" if highest_first else "Uncertainty sampling"}


def project_fields(highest_first: bool) -> dict[str, Any]:
    """Return all settings of a connected project."""
    return {**order_fields(highest_first), **SHOWN_FIELDS}


VIEW_TITLE = "Most informative first"


def view_rules(highest_first: bool) -> dict[str, Any]:
    """Return what makes a view serve the best task among those that nobody has annotated or skipped."""
    return {"ordering": by_score(highest_first), "filters": TO_LABEL}


_ASIDE = (
    "inner_id",
    "completed_at",
    "cancelled_annotations",
    "total_predictions",
    "annotators",
    "annotations_results",
    "annotations_ids",
    "predictions_results",
    "file_upload",
    "storage_filename",
    "created_at",
    "updated_at",
    "updated_by",
    "avg_lead_time",
    "draft_exists",
)
_ASIDE_WHILE_LABELING = ("id", "total_annotations", "predictions_model_versions")

VIEW_COLUMNS: Mapping[str, Any] = {
    "hiddenColumns": {
        "explore": [f"tasks:{column}" for column in _ASIDE],
        "labeling": [f"tasks:{column}" for column in (*_ASIDE, *_ASIDE_WHILE_LABELING)],
    }
}
"""Columns of a new view: image, id, annotations, score, version. Whoever changes them later keeps them."""

ANNOTATOR_VIEW_TITLE = "{email}: most informative first"


def mark(email: str) -> str:
    """Return the name under which a task is reserved for one person.

    It is the version of a prediction without regions. Label Studio looks for it as a part of longer names:
    the words around it keep one address from being found in another.
    """
    return f"for {email} only"


def annotator_rules(email: str, highest_first: bool) -> dict[str, Any]:
    """Return what makes a view serve the tasks that are reserved for one person, the best first.

    A browser sends the filters that it read when the page was opened. These never change: the tasks do.
    """
    return {
        "ordering": by_score(highest_first),
        "filters": {"conjunction": "and", "items": [UNLABELLED, NOT_SKIPPED, has_mark(mark(email))]},
    }


def annotator_of(view: Mapping[str, Any]) -> str | None:
    """Return whose view a view is, by its filter or, should somebody have changed that, by its title."""
    items = view["data"].get("filters", {}).get("items", [])
    values = [value for item in items if isinstance(item["value"], list) for value in item["value"]]
    found = [re.fullmatch(r"for (\S+) only", str(value)) for value in values]
    found.append(re.fullmatch(r"(\S+): most informative first", str(view["data"].get("title"))))
    return next((match[1] for match in found if match), None)
