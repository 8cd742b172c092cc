"""Images that could not be had for a while: tried again, and their predictions replaced."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ml_backend.queue import kinds
from ml_backend.queue.context import Context
from ml_backend.queue.jobs import job
from ml_backend.score.prediction import Scored, scorer
from ml_backend.score.pruning import set_aside
from ml_backend.score.scoring import note, prediction
from ml_backend.store import projects, scores, versions
from ml_backend.store.models import Score, ScoreState, Version, VersionState, now

logger = logging.getLogger(__name__)

PATIENCE = 5
"""Images that may fail one after the other before their server is taken to be still away."""


@job(kinds.RETRY_IMAGES)
def retry_images(context: Context, version_id: int) -> None:
    """Try the images of the published version that are due, and write what they give in place of the zero.

    An image that fails again waits longer each time. A prediction is replaced only once there is a better
    one, and taken away before the better one is written: a kill in between leaves a task that the next
    scoring writes, never one with two predictions.
    """
    with context.database.read() as session:
        version = versions.get(session, version_id)
        active = version is not None and projects.is_active(session, version.project_id)
        due = scores.to_retry(session, version_id, now())
    if version is None or not active or version.state is not VersionState.PUBLISHED or not due:
        return
    size = context.settings.score_chunk
    for start in range(0, len(due), size):
        if not _try(context, version, due[start : start + size]):
            return


def _try(context: Context, version: Version, due: Sequence[Score]) -> bool:
    """Try these images; False once so many failed in a row that the others need not be tried now."""
    config = context.read_config(version.project_id)
    with context.database.read() as session:
        project = projects.get(session, version.project_id)
    assert project is not None  # read_config made sure of it
    score = scorer(context.settings, context.weights, context.images, version, project.seed, config)
    data = context.label_studio.task_data(version.project_id, [row.task_id for row in due])
    had: list[Scored] = []
    in_a_row = 0
    for task_id, task_data in data.items():
        found = score(task_id, task_data)
        if not found.error:
            had.append(found)
        else:
            _keep_reason(context, version, found)
        in_a_row = in_a_row + 1 if found.transient else 0
        if in_a_row == PATIENCE:
            break
    with context.database.write() as session:
        scores.remove_tasks(session, version.id, {row.task_id for row in due} - data.keys())
    _replace(context, version, had)
    return in_a_row < PATIENCE


def _keep_reason(context: Context, version: Version, found: Scored) -> None:
    """The prediction of an image that still fails stays as it is: a zero without a mask."""
    with context.database.write() as session:
        row = session.get_one(Score, (version.id, found.task_id))
        row.error = found.error
        if found.transient:
            scores.postpone(row)
        else:
            row.retry_at = None


def _replace(context: Context, version: Version, found: Sequence[Scored]) -> None:
    if not found:
        return
    note(context, version, found)
    for one in found:
        for old in context.label_studio.predictions(one.task_id):
            if old["model_version"] == version.name:
                set_aside(context, version.project_id, old["id"])
    sent = [prediction(one, version.name) for one in found]
    imported = context.label_studio.import_predictions(version.project_id, sent)
    with context.database.write() as session:
        scores.remove_tasks(session, version.id, imported.missing)
        scores.set_state(session, version.id, {one.task_id for one in found}, ScoreState.WRITTEN)
    logger.info("%d images of version %s could be had again.", len(found), version.name)
