"""Publication: a version becomes visible only when complete, so annotators see the old or the new order."""

from __future__ import annotations

import logging
import math
import time

from ml_backend.label_studio.views import set_order
from ml_backend.queue import kinds
from ml_backend.queue.context import Context
from ml_backend.queue.jobs import job
from ml_backend.score.batch import refresh_batch
from ml_backend.score.chunks import chunk_size
from ml_backend.score.strategy import order_of
from ml_backend.store import scores, versions
from ml_backend.store.models import ScoreState, Version, VersionState

logger = logging.getLogger(__name__)

READ_BACK = 100
"""Number of tasks at the top of Label Studio's order that are compared with the database."""


class PublishError(RuntimeError):
    """Label Studio does not show the version's scores, or does not order by them."""


@job(kinds.PUBLISH)
def publish_version(context: Context, version_id: int) -> None:
    """Count the version's predictions, make it the current version, read back the order.

    If predictions are missing, requests them instead; the last of them requests the publication again.

    Raises:
        PublishError: Label Studio shows other scores or another order than the database.
    """
    began = time.monotonic()
    with context.database.read() as session:
        version = versions.in_work(session, version_id, VersionState.SCORING, VersionState.PUBLISHED)
    if version is None or is_overtaken(context, version) or not _complete(context, version):
        return
    if order_of(version).batch:
        refresh_batch(context, version)
    make_current(context, version)
    _set_order(context, version)
    _read_back(context, version)
    with context.database.write() as session:
        current = session.get_one(Version, version_id)
        versions.publish(session, current)
        current.seconds_publishing = time.monotonic() - began
    if context.settings.notify_url.get_secret_value() and version.state is VersionState.SCORING:
        context.queues.request_notice_of_version(version.id)
    # Also of an older version that is published again: its outlook may be another.
    context.request_notice_to_stop(version.project_id)
    context.queues.request_prune(version.id)
    context.queues.request_redraw(version.project_id)
    context.request_assignment(version.project_id)
    with context.database.read() as session:
        due = scores.due(session, version.id)
    if due:
        context.queues.request_score_due(version.id)
    # For tasks that were added while the version was being scored.
    context.queues.request_score_new(version.project_id)


def is_overtaken(context: Context, version: Version) -> bool:
    """Whether a newer version is being scored or published; if so, this one is marked as superseded."""
    if version.state is VersionState.PUBLISHED:
        return False
    with context.database.write() as session:
        newer = any(
            other.id > version.id and other.state in (VersionState.SCORING, VersionState.PUBLISHED)
            for other in versions.of_project(session, version.project_id)
        )
        if newer:
            current = session.get_one(Version, version.id)
            current.state = VersionState.SUPERSEDED
            current.message = "A newer version was ready before this one was published."
    return newer


def make_current(context: Context, version: Version) -> None:
    """Make Label Studio order the project by this version.

    Does nothing for a version without predictions, which Label Studio would refuse: then no task is
    unlabelled, there is nothing to order, and the next scored task repeats this call.
    """
    fields = context.label_studio.project(version.project_id)
    if fields["model_version"] == version.name:
        return
    if version.name in context.label_studio.model_versions(version.project_id):
        context.label_studio.patch_project(version.project_id, model_version=version.name)


def _set_order(context: Context, version: Version) -> None:
    """Change the project's sort order if the new version's strategy needs a different one."""
    with context.database.read() as session:
        former = versions.published(session, version.project_id)
    order = order_of(version)
    if former is None or order_of(former) != order:
        set_order(context.label_studio, version.project_id, order)
    if former is not None and order_of(former).batch and not order.batch:
        refresh_batch(context, version)


def _complete(context: Context, version: Version) -> bool:
    """Whether all planned predictions are in Label Studio; requests the missing ones otherwise."""
    with context.database.read() as session:
        planned = {score.task_id for score in scores.of_version(session, version.id)}
        unfinished = scores.unfinished(session, version.id)
    if unfinished.to_rank or unfinished.to_send:
        context.queues.request_next_step(version.id, unfinished)
        return False
    stored = context.label_studio.model_versions(version.project_id).get(version.name, 0)
    if not unfinished.chunks and stored >= len(planned):
        return True
    predicted = context.label_studio.predictions_of(version.project_id, sorted(planned), version.name)
    existing = context.label_studio.existing(version.project_id, sorted(planned - predicted))
    with context.database.write() as session:
        scores.remove_tasks(session, version.id, planned - predicted - existing)
        scores.set_state(session, version.id, existing, ScoreState.PENDING)
        if existing:
            size = chunk_size(context.settings, len(existing))
            scores.divide_again(session, version.id, chunk_size=size)
        chunks = scores.unfinished_chunks(session, version.id)
    context.queues.request_chunks(version.id, chunks, again=True)
    return not chunks


def _read_back(context: Context, version: Version) -> None:
    """Compare the top of Label Studio's order with the database.

    Raises:
        PublishError: a score differs, or the tasks are not sorted by score.
    """
    highest_first = order_of(version).highest_first
    shown = context.label_studio.ordered_scores(version.project_id, READ_BACK, highest_first=highest_first)
    with context.database.read() as session:
        known = {score.task_id: score.score for score in scores.of_version(session, version.id)}
    values = [score for _, score in shown if score is not None]
    if values != sorted(values, reverse=highest_first):
        raise PublishError(f"Label Studio does not order project {version.project_id} by score.")
    for task_id, score in shown:
        ours = known.get(task_id)
        if ours is not None and (score is None or not math.isclose(score, ours, abs_tol=1e-6)):
            raise PublishError(
                f"Label Studio shows {score} for task {task_id} where version {version.name} scored {ours}."
            )
