"""What a connected project looks like in Label Studio: its settings, its events, its view."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .data_manager import BY_SCORE, TO_LABEL

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
