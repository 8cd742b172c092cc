"""Sending: a scored version's predictions go to Label Studio in as few imports as possible.

After every import Label Studio recounts the predictions of all tasks of the project (0.7 ms a task), so one
import for each chunk made a large project wait minutes for its order.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any

from ml_backend.items import contained
from ml_backend.queue import kinds
from ml_backend.queue.context import Context
from ml_backend.queue.jobs import job
from ml_backend.score import packing
from ml_backend.score.importing import import_scored
from ml_backend.score.publication import is_overtaken
from ml_backend.store import scores, versions
from ml_backend.store.models import ScoreState, Version, VersionState, now

logger = logging.getLogger(__name__)

ROWS_AT_ONCE = 200
"""Predictions that are read from the database at once."""


@job(kinds.SEND)
def send_version(context: Context, version_id: int) -> None:
    """Send all predictions of a version that are scored but not in Label Studio; request the publication.

    Run again after a kill, it sends only what is not in Label Studio yet.

    Raises:
        LabelStudioError, PredictionsRefusedError: Label Studio does not store them.
    """
    with context.database.read() as session:
        version = versions.in_work(session, version_id, VersionState.SCORING)
    if version is None or is_overtaken(context, version):
        return
    _send(context, version)
    with context.database.write() as session:
        unfinished = scores.unfinished(session, version_id)
        current = session.get_one(Version, version_id)
        current.seconds_scoring = (now() - current.created_at).total_seconds()
    context.queues.request_next_step(version_id, unfinished)


def _send(context: Context, version: Version) -> None:
    label_studio, project_id = context.label_studio, version.project_id
    with context.database.write() as session:
        tasks = scores.to_send(session, version.id)
        scores.begin_sending(session, version.id)
    if not tasks:
        return
    existing = label_studio.existing(project_id, tasks)
    there = label_studio.predictions_of(project_id, tasks, version.name)
    left = [task for task in tasks if task in existing - there]
    gone = (set(tasks) - existing) | import_scored(context, version, _predictions(context, version, left))
    with context.database.write() as session:
        scores.remove_tasks(session, version.id, gone)
        scores.set_state(session, version.id, set(tasks) - gone, ScoreState.WRITTEN)


def _predictions(context: Context, version: Version, tasks: Sequence[int]) -> Iterator[dict[str, Any]]:
    for first in range(0, len(tasks), ROWS_AT_ONCE):
        part = tasks[first : first + ROWS_AT_ONCE]
        with context.database.read() as session:
            rows = scores.of_tasks(session, version.id, part)
        for row in rows:
            assert row.packed is not None  # guaranteed by `scores.to_send`
            result: list[dict[str, Any]] = []
            with contained(f"The mask of task {row.task_id}", logger.warning):
                result = packing.result(row.packed)
            yield {
                "task": row.task_id,
                "result": result,
                "score": row.score,
                "model_version": version.name,
            }
