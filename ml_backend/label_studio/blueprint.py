"""What a connected project looks like in Label Studio: its settings, its events, its view."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .data_manager import BY_SCORE, NOT_SKIPPED, TO_LABEL, UNLABELLED, has_mark

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

ORDER_FIELDS: Mapping[str, Any] = {
    # Uncertainty sampling, the tempting choice, serves the lowest score first.
    "sampling": "Sequential sampling",
}
"""Settings of the project without which the order is lost."""

PROJECT_FIELDS: Mapping[str, Any] = {
    **ORDER_FIELDS,
    # Annotators see the predictions of the project's `model_version`, drawn when they open a task.
    "show_collab_predictions": True,
    # Otherwise each page of the Data Manager would call /predict for all its tasks without a prediction.
    "evaluate_predictions_automatically": False,
}

VIEW_TITLE = "Most informative first"

VIEW_RULES: Mapping[str, Any] = {"ordering": BY_SCORE, "filters": TO_LABEL}
"""What makes the view serve the highest score among the tasks nobody has annotated or skipped."""

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


def annotator_rules(email: str) -> dict[str, Any]:
    """Return what makes a view serve the tasks that are reserved for one person, the highest score first.

    A browser sends the filters that it read when the page was opened. These never change: the tasks do.
    """
    return {
        "ordering": BY_SCORE,
        "filters": {"conjunction": "and", "items": [UNLABELLED, NOT_SKIPPED, has_mark(mark(email))]},
    }


def annotator_of(view: Mapping[str, Any]) -> str | None:
    """Return whose view a view is, by its filter or, should somebody have changed that, by its title."""
    items = view["data"].get("filters", {}).get("items", [])
    values = [value for item in items if isinstance(item["value"], list) for value in item["value"]]
    found = [re.fullmatch(r"for (\S+) only", str(value)) for value in values]
    found.append(re.fullmatch(r"(\S+): most informative first", str(view["data"].get("title"))))
    return next((match[1] for match in found if match), None)
