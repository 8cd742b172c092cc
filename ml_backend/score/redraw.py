"""Redrawing: while a project learns, its newest weights draw the tasks that are opened next.

Masks and the order are updated at different times. The order changes only as a whole, with a version; the
masks of the next tasks follow the weights of the running training (`ml_backend.store.drafts`). A prediction
that is drawn again keeps its id, its version and its score, so no order is mixed, and an open page can still
submit.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from ml_backend.items import contained
from ml_backend.label_studio.errors import GONE, LabelStudioError
from ml_backend.queue import kinds
from ml_backend.queue.context import Context
from ml_backend.queue.jobs import job
from ml_backend.score import packing
from ml_backend.score.batch import next_tasks
from ml_backend.score.prediction import Scored
from ml_backend.score.scorers import scorer_for
from ml_backend.store import drafts, edits, projects, versions
from ml_backend.store.models import Draft, FormerMask, Score, Version

logger = logging.getLogger(__name__)

BESIDE = ("id", "score", "meta")
"""What may differ between two drawings of one mask."""

AT_ONCE = 5
"""Tasks that are drawn before their masks are sent, so that the very next ones get theirs early."""


@job(kinds.REDRAW)
def redraw(context: Context, project_id: int) -> None:
    """Draw the next REDRAW_TASKS tasks in order by the project's draft; ends early if there is a newer one.

    Tasks that are open or begun keep the mask that their annotator sees. Without a draft, masks drawn
    by a former one are drawn again by the published version. Does nothing before the first order.

    Raises:
        LabelStudioError: Label Studio does not answer.
        WeightStoreError: the draft was replaced meanwhile; the next one requests this again.
    """
    with context.database.read() as session:
        version, draft = versions.published(session, project_id), drafts.current(session, project_id)
        active = projects.is_active(session, project_id)
        drawn_by_others = version is not None and edits.was_redrawn_since(
            session, project_id, version.published_at or version.created_at
        )
    if version is None or not active or not (draft is not None or drawn_by_others):
        return
    drawer = version if draft is None else drafted(version, draft)
    score = scorer_for(context, drawer)
    tasks, replaced = _tasks(context, version), 0
    for first in range(0, len(tasks), AT_ONCE):
        part = tasks[first : first + AT_ONCE]
        drawn = list(score(context.label_studio.task_data(project_id, part)))
        # Whoever opened a task meanwhile works on the mask that was shown.
        opened = context.label_studio.opened(project_id)
        run_id = None if draft is None else draft.run_id
        left = [one for one in drawn if one.task_id not in opened]
        for one in left:
            with contained(f"The mask of task {one.task_id}", logger.warning):
                replaced += _replace(context, version, one, run_id)
        if draft is not None and not _note(context, draft):
            break
    by = version.name if draft is None else f"step {draft.step} of the running training"
    logger.info("Drew %d tasks of project %d again, by %s.", replaced, project_id, by)


def drafted(version: Version, draft: Draft) -> Version:
    """The version as it would be with the weights of the draft; not stored."""
    return Version(
        id=version.id,
        project_id=version.project_id,
        name=version.name,
        round=version.round,
        weights_hash=draft.weights_hash,
        labels=draft.labels,
        labels_used=max(version.labels_used, 1),
        metrics=version.metrics,
        strategy=version.strategy,
        fingerprint=version.fingerprint,
    )


def _tasks(context: Context, version: Version) -> list[int]:
    """The tasks to draw again: the next ones in order, except those that are open.

    Assigned tasks are among them, since assignments follow the order.
    """
    most = context.settings.redraw_tasks
    if not most:
        return []
    opened = context.label_studio.opened(version.project_id)
    return [task for task in next_tasks(context, version, most + len(opened)) if task not in opened][:most]


def _note(context: Context, draft: Draft) -> bool:
    """Record that the draft draws the next tasks; False if it is no longer the project's draft."""
    with context.database.write() as session:
        current = drafts.current(session, draft.project_id)
        if current is None or current.weights_hash != draft.weights_hash:
            return False
        drafts.note_drawn(session, draft.project_id, draft.weights_hash)
    return True


def _replace(context: Context, version: Version, drawn: Scored, run_id: int | None) -> bool:
    """Replace the mask of a task's prediction, and record the former one; False if nothing was replaced."""
    if drawn.error:
        return False
    found = prediction_of(context, version, drawn.task_id)
    if found is None or is_same_mask(found["result"], drawn.result):
        return False
    with context.database.write() as session:
        row = session.get(Score, (version.id, drawn.task_id))
        if row is None or row.error:
            return False
        # Recorded first, so that a kill in between never leaves an unrecorded mask.
        edits.note_former(session, former_mask(version, row, found))
        if row.due:
            # Measured by a version before, which no longer fits the mask: no version takes it over.
            row.packed = None
        row.blank, row.hidden, row.drawn_by_run = drawn.blank, drawn.hidden, run_id
        row.quality, row.margin = drawn.quality, drawn.margin
    try:
        context.label_studio.redraw_prediction(found["id"], drawn.result)
    except LabelStudioError as error:
        if error.status != GONE:
            raise
        return False
    return True


def is_same_mask(one: Sequence[Mapping[str, Any]], other: Sequence[Mapping[str, Any]]) -> bool:
    """Whether two lists of regions show the same masks, whatever their ids, probabilities and notes."""
    if not all(isinstance(region, dict) for region in (*one, *other)):
        return False
    first, second = (
        [{key: value for key, value in region.items() if key not in BESIDE} for region in regions]
        for regions in (one, other)
    )
    return first == second


def former_mask(version: Version, row: Score, found: Mapping[str, Any]) -> FormerMask:
    """The mask of a prediction that is about to be replaced.

    Args:
        version: the prediction's.
        row: its score.
        found: the prediction as Label Studio returns it.
    """
    return FormerMask(
        project_id=version.project_id,
        prediction_id=found["id"],
        packed=packing.pack(None, found["result"]),
        blank=row.blank,
        drawn_by_run=row.drawn_by_run,
    )


def prediction_of(context: Context, version: Version, task_id: int) -> dict[str, Any] | None:
    """A version's prediction of a task, as Label Studio returns it; None if it or the task is gone."""
    try:
        stored = context.label_studio.predictions(task_id)
    except LabelStudioError as error:
        if error.status != GONE:
            raise
        return None
    return next((one for one in stored if one["model_version"] == version.name), None)
