"""The published version's predictions: one for each task, in Label Studio as in the database."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator, Mapping

from ml_backend.queue.context import Context
from ml_backend.reconcile.finding import Finding
from ml_backend.score.pruning import left_over, set_aside
from ml_backend.store import scores, versions
from ml_backend.store.models import Score, ScoreState, Version, now


def repair(
    context: Context, version: Version, stored: Mapping[str, int], *, thorough: bool = False
) -> Iterator[Finding]:
    """Ask for scores that are missing, set doubles aside, try failed images again, prune old versions.

    `stored` is the number of predictions that Label Studio holds of each version. Where it agrees with the
    database the predictions are not compared one by one, unless `thorough`.
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
            yield Finding(version.project_id, f"{tasks} tasks had no score of {version.name}: asked for.")
    yield from _failed_images(context, version)
    yield from _old_versions(context, version, stored)


def _compare(context: Context, version: Version) -> Generator[Finding, None, int]:
    """Compare task by task; returns how many tasks to label lost their score."""
    # The rows first: what is written between is then strange, which is harmless, and never lost.
    with context.database.read() as session:
        rows = {row.task_id: row for row in scores.of_version(session, version.id)}
    shown = {
        one.task: one for one in context.label_studio.tasks_with_version(version.project_id, version.name)
    }
    written = {task_id for task_id, row in rows.items() if row.state is ScoreState.WRITTEN}
    lost = written - shown.keys()
    strange = shown.keys() - rows.keys()
    to_label = context.label_studio.to_label(version.project_id, sorted(lost | strange))
    with context.database.write() as session:
        scores.remove_tasks(session, version.id, lost)
        # Those still to be labelled are scored as any new task; their prediction is found and kept.
        scores.adopt(session, version.id, strange - to_label)
    doubled = 0
    for one in shown.values():
        if one.has_double:
            doubled += _without_doubles(context, version, one.task, rows.get(one.task))
    if doubled:
        yield Finding(
            version.project_id, f"{doubled} predictions of {version.name} were doubles: set aside, one kept."
        )
    return len(lost & to_label)


def _without_doubles(context: Context, version: Version, task_id: int, row: Score | None) -> int:
    """Leave one of our predictions of a task: the newest with the score we know, or the newest."""
    ours = [one for one in context.label_studio.predictions(task_id) if one["model_version"] == version.name]
    if len(ours) < 2:
        return 0
    known = None if row is None else row.score
    kept = max(ours, key=lambda one: (_is(one["score"], known), one["id"]))
    for one in ours:
        if one["id"] != kept["id"]:
            set_aside(context, version.project_id, one["id"])
    return len(ours) - 1


def _is(score: float | None, known: float | None) -> bool:
    return score is not None and known is not None and math.isclose(score, known, abs_tol=1e-6)


def _failed_images(context: Context, version: Version) -> Iterator[Finding]:
    with context.database.read() as session:
        due = len(scores.to_retry(session, version.id, now()))
    if due and context.queues.request_retry_images(version.id):
        yield Finding(version.project_id, f"{due} images could not be had: tried again.")


def _old_versions(context: Context, version: Version, stored: Mapping[str, int]) -> Iterator[Finding]:
    """Have the publication run again, which prunes, if it was cut off before it had."""
    with context.database.read() as session:
        ours = versions.of_project(session, version.project_id)
    old = left_over(stored, version.project_id, ours)
    if old and context.queues.request_publish(version.id):
        yield Finding(version.project_id, f"Predictions of {', '.join(old)} were left over: pruned.")
