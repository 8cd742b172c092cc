"""The published version's predictions: exactly one per task, in Label Studio and in the database."""

from __future__ import annotations

import logging
import math
from collections.abc import Generator, Iterator, Mapping

from ml_backend.items import contained
from ml_backend.queue.context import Context
from ml_backend.reconcile.discrepancy import Discrepancy
from ml_backend.score.pruning import keep_for_open_pages, obsolete_names
from ml_backend.store import scores, versions
from ml_backend.store.models import Score, ScoreState, Version, now

logger = logging.getLogger(__name__)


def repair(
    context: Context, version: Version, stored: Mapping[str, int], *, thorough: bool = False
) -> Iterator[Discrepancy]:
    """Request missing scores, remove duplicates, retry failed images, and prune former versions.

    Predictions are compared one by one only if their totals differ, or with `thorough`.

    Args:
        context: the context of the job.
        version: the published version.
        stored: number of predictions in Label Studio by version name.
        thorough: whether to compare predictions one by one in any case.
    """
    with context.database.read() as session:
        counted = scores.count(session, version.id)
    fewest = counted[ScoreState.WRITTEN]
    most = fewest + counted[ScoreState.WRITING]
    lost = 0
    if thorough or not fewest <= stored.get(version.name, 0) <= most:
        lost = yield from _compare(context, version)
    waiting = counted[ScoreState.PENDING] + counted[ScoreState.WRITING]
    missing = context.label_studio.unscored(version.project_id) - waiting
    if (lost or waiting or missing > 0) and context.queues.request_score_new(version.project_id):
        tasks = max(lost, missing)
        if tasks > 0:
            yield Discrepancy(version.project_id, f"{tasks} tasks had no score of {version.name}: requested.")
    yield from _retry_images(context, version)
    yield from _prune(context, version, stored)


def _compare(context: Context, version: Version) -> Generator[Discrepancy, None, int]:
    """Compare predictions one by one; returns the number of unlabelled tasks that lost theirs."""
    # Rows are read first: a prediction written in between looks unknown, which is harmless, and never lost.
    with context.database.read() as session:
        rows = {row.task_id: row for row in scores.of_version(session, version.id)}
    shown = {
        one.task: one for one in context.label_studio.tasks_with_version(version.project_id, version.name)
    }
    written = {task_id for task_id, row in rows.items() if row.state is ScoreState.WRITTEN}
    lost = written - shown.keys()
    unknown = shown.keys() - rows.keys()
    to_label = context.label_studio.to_label(version.project_id, sorted(lost | unknown))
    with context.database.write() as session:
        scores.remove_tasks(session, version.id, lost)
        # Unlabelled tasks are scored like new ones, which finds and keeps their prediction.
        scores.adopt(session, version.id, unknown - to_label)
    duplicates = 0
    for one in shown.values():
        with contained(f"The predictions of task {one.task}", logger.warning):
            if one.has_double:
                duplicates += _remove_duplicates(context, version, one.task, rows.get(one.task))
    if duplicates:
        yield Discrepancy(
            version.project_id,
            f"{duplicates} predictions of {version.name} were duplicates: removed from the order.",
        )
    return len(lost & to_label)


def _remove_duplicates(context: Context, version: Version, task_id: int, row: Score | None) -> int:
    """Keep the newest prediction with the known score, else the newest; returns the number of the others."""
    ours = [one for one in context.label_studio.predictions(task_id) if one["model_version"] == version.name]
    if len(ours) < 2:
        return 0
    known = None if row is None else row.score
    kept = max(ours, key=lambda one: (_is_close(one["score"], known), one["id"]))
    for one in ours:
        if one["id"] != kept["id"]:
            keep_for_open_pages(context, version.project_id, one["id"], version.name)
    return len(ours) - 1


def _is_close(score: float | None, known: float | None) -> bool:
    return score is not None and known is not None and math.isclose(score, known, abs_tol=1e-6)


def _retry_images(context: Context, version: Version) -> Iterator[Discrepancy]:
    with context.database.read() as session:
        due = len(scores.to_retry(session, version.id, now()))
    if due and context.queues.request_retry_images(version.id):
        yield Discrepancy(version.project_id, f"{due} images could not be read: a retry was requested.")


def _prune(context: Context, version: Version, stored: Mapping[str, int]) -> Iterator[Discrepancy]:
    """Request pruning if predictions of former versions are left."""
    with context.database.read() as session:
        ours = versions.of_project(session, version.project_id)
    obsolete = obsolete_names(stored, version.project_id, ours)
    if obsolete and context.queues.request_prune(version.id):
        yield Discrepancy(
            version.project_id, f"Predictions of {', '.join(obsolete)} were left over: pruning was requested."
        )
