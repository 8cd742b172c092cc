"""Images that could not be read for a temporary reason: retried, and their predictions replaced."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from contextlib import closing
from typing import Any

from sqlalchemy.orm import Session

from ml_backend.items import contained
from ml_backend.queue import kinds
from ml_backend.queue.context import Context
from ml_backend.queue.jobs import job
from ml_backend.score.importing import import_scored
from ml_backend.score.prediction import Scored
from ml_backend.score.pruning import keep_for_open_pages
from ml_backend.score.recording import prediction, record
from ml_backend.score.scorers import scorer_for
from ml_backend.store import projects, scores, versions
from ml_backend.store.models import Score, ScoreState, Version, VersionState, now

logger = logging.getLogger(__name__)

MAX_CONSECUTIVE_FAILURES = 5
"""After this many temporary failures in a row the image server counts as still down."""


def plan_retries(session: Session, version: Version, found: Sequence[Scored]) -> None:
    """Plan another try of the images that failed for a temporary reason, and of no others."""
    rows = {row.task_id: row for row in scores.of_tasks(session, version.id, [one.task_id for one in found])}
    for one in found:
        row = rows[one.task_id]
        if one.transient:
            postpone(row)
        else:
            row.retry_at, row.tries = None, 0


def postpone(score: Score) -> None:
    """Record a temporary failure: the first is retried at the next comparison, further ones ever later."""
    score.tries += 1
    score.retry_at = now() + scores.retry_wait(score.tries)


@job(kinds.RETRY_IMAGES)
def retry_images(context: Context, version_id: int) -> None:
    """Retry the images of the published version that are due, and replace their zero scores.

    An image that fails again waits longer each time. The old prediction is removed once a better one is
    known and before that one is written: a kill in between leaves a task without a prediction, which the
    next scoring writes, and never a task with two.
    """
    with context.database.read() as session:
        version = versions.get(session, version_id)
        active = version is not None and projects.is_active(session, version.project_id)
        due = scores.to_retry(session, version_id, now())
    if version is None or not active or version.state is not VersionState.PUBLISHED or not due:
        return
    size = context.settings.score_chunk
    for start in range(0, len(due), size):
        if not _retry_chunk(context, version, due[start : start + size]):
            return


def _retry_chunk(context: Context, version: Version, due: Sequence[Score]) -> bool:
    """Retry these images; False if so many failed in a row that the remaining ones should wait."""
    data = context.label_studio.task_data(version.project_id, [row.task_id for row in due])
    succeeded: list[Scored] = []
    failures = 0
    with closing(scorer_for(context, version)(data)) as found:
        for scored in found:
            if not scored.error:
                succeeded.append(scored)
            else:
                _record_failure(context, version, scored)
            failures = failures + 1 if scored.transient else 0
            if failures == MAX_CONSECUTIVE_FAILURES:
                break
    with context.database.write() as session:
        scores.remove_tasks(session, version.id, {row.task_id for row in due} - data.keys())
    _replace_predictions(context, version, succeeded)
    return failures < MAX_CONSECUTIVE_FAILURES


def _record_failure(context: Context, version: Version, scored: Scored) -> None:
    """Store the error; the prediction stays what it is, a score of 0 without a mask."""
    with context.database.write() as session:
        row = session.get_one(Score, (version.id, scored.task_id))
        row.error = scored.error
        if scored.transient:
            postpone(row)
        else:
            row.retry_at = None


def _replace_predictions(context: Context, version: Version, scored: Sequence[Scored]) -> None:
    if not scored:
        return
    with context.database.write() as session:
        record(session, version, scored)
        plan_retries(session, version, scored)
    sent: list[dict[str, Any]] = []
    for one in scored:
        with contained(f"The former prediction of task {one.task_id}", logger.warning):
            for old in context.label_studio.predictions(one.task_id):
                if old["model_version"] == version.name:
                    keep_for_open_pages(context, version.project_id, old["id"], version.name)
            sent.append(prediction(one, version.name))
    missing = import_scored(context, version, sent)
    kept = {one.task_id for one in scored}.difference(one["task"] for one in sent)
    with context.database.write() as session:
        for row in scores.of_tasks(session, version.id, sorted(kept)):
            # Label Studio still has the former prediction.
            postpone(row)
        scores.remove_tasks(session, version.id, missing)
        scores.set_state(session, version.id, {one.task_id for one in scored}, ScoreState.WRITTEN)
    logger.info("Scored %d images of version %s that had failed before.", len(sent), version.name)
