"""Importing predictions: one that Label Studio refuses is its task's problem, and the others are shown."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from ml_backend.items import LONGEST_REASON
from ml_backend.queue.context import Context
from ml_backend.score.prediction import Scored
from ml_backend.score.recording import prediction, record
from ml_backend.score.strategy import made_by
from ml_backend.store import scores
from ml_backend.store.models import Version
from model.strategies import last

logger = logging.getLogger(__name__)


def import_scored(context: Context, version: Version, predictions: Iterable[Mapping[str, Any]]) -> set[int]:
    """Import a version's predictions, whose scores are recorded as being written.

    A task whose prediction is refused gets one without a mask, and the score that is labelled last, as one
    whose image cannot be read: each task has exactly one score. Its reason is recorded.

    Returns:
        The tasks that no longer exist.

    Raises:
        LabelStudioError: Label Studio does not answer.
        PredictionsRefusedError: it refuses so many that the fault is not that of single tasks, or refuses
            predictions without masks, too.
    """
    studio, project_id = context.label_studio, version.project_id
    imported = studio.import_predictions(project_id, predictions)
    missing = set(imported.missing)
    if imported.refused:
        without_masks = _record_refused(context, version, imported.refused)
        present = studio.existing(project_id, sorted(imported.refused))
        studio.import_all(project_id, [one for one in without_masks if one["task"] in present])
        missing |= imported.refused.keys() - present
    return missing


def refusal(reason: str) -> str:
    """One sentence that says why a task has no mask of the version."""
    return f"Label Studio refuses its prediction: {reason[:LONGEST_REASON].rstrip('.')}."


def _record_refused(context: Context, version: Version, refused: Mapping[int, str]) -> list[dict[str, Any]]:
    """Record the reasons, and return predictions without masks.

    They are recorded first: after a kill in between, the task is scored again, and refused again.
    """
    worst = last(made_by(version))
    failed = []
    with context.database.write() as session:
        for row in scores.of_tasks(session, version.id, sorted(refused)):
            one = Scored(row.task_id, worst, worst, error=refusal(refused[row.task_id]))
            logger.warning("Task %d of project %d: %s", row.task_id, version.project_id, one.error)
            failed.append(replace(one, picture=row.picture))
        record(session, version, failed)
    return [prediction(one, version.name) for one in failed]
