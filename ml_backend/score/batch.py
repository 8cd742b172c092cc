"""The batch: the tasks to label next, marked in Label Studio, whose shared view contains only them.

Label Studio sorts a view by the score alone, which is the mean DSC under every strategy. A strategy that
follows another number therefore marks QUERY_SIZE tasks, and new ones take the place of those that are
labelled or skipped.
"""

from __future__ import annotations

import logging
from collections.abc import Container

from sqlalchemy.orm import Session

from ml_backend.items import contained
from ml_backend.label_studio.blueprint import BATCH_VERSION, is_shared_view
from ml_backend.label_studio.views import set_order
from ml_backend.queue.context import Context
from ml_backend.score.strategy import made_by, order_of
from ml_backend.store import labels_seen, scores
from ml_backend.store.models import Project, Version, VersionState

logger = logging.getLogger(__name__)

READ_AT_ONCE = 100
"""Tasks of the order that are looked up in Label Studio at a time."""


def refresh_batch(context: Context, version: Version) -> None:
    """Mark the tasks that a version labels next, and no others; none if its strategy follows the score.

    New marks are made before others are removed, so that the view is never empty meanwhile. Does nothing in a
    project without a shared view, which was never connected.
    """
    project_id, client = version.project_id, context.label_studio
    with context.database.read() as session:
        has_marks = session.get_one(Project, project_id).shows_batch
    if not order_of(version).batch:
        if has_marks:
            client.delete_model_version(project_id, BATCH_VERSION)
            _note(context, project_id, shows_batch=False)
        return
    if not any(is_shared_view(view) for view in client.views(project_id)):
        return
    _note(context, project_id, shows_batch=True)
    wanted = next_tasks(context, version, context.settings.query_size)
    marked = client.marked(project_id)
    client.mark(project_id, [task for task in wanted if task not in marked])
    if not has_marks and version.state is VersionState.PUBLISHED:
        # `dsal connect` made the view without the filter, as it would have been empty.
        set_order(client, project_id, order_of(version))
    for task in sorted(marked.difference(wanted)):
        with contained(f"The mark of task {task}", logger.warning):
            client.unmark(task)


def next_tasks(context: Context, version: Version, count: int) -> list[int]:
    """The first `count` tasks to label in the order of a version's strategy; fewer if no more are left."""
    with context.database.read() as session:
        ranked = ranking(session, version, without=labels_seen.labelled_tasks(session, version.project_id))
    found: list[int] = []
    for start in range(0, len(ranked), READ_AT_ONCE):
        part = ranked[start : start + READ_AT_ONCE]
        left = context.label_studio.neither_labelled_nor_skipped(version.project_id, part)
        found += [task for task in part if task in left]
        if len(found) >= count:
            break
    return found[:count]


def ranking(session: Session, version: Version, *, without: Container[int]) -> list[int]:
    """All tasks with a priority in a version's order, the first to be labelled first, except `without`."""
    known = scores.priorities(session, version.id)
    sign = -1 if made_by(version).highest_first else 1
    tasks = [task for task in known if task not in without]
    return sorted(tasks, key=lambda task: (sign * known[task], task))


def _note(context: Context, project_id: int, *, shows_batch: bool) -> None:
    with context.database.write() as session:
        session.get_one(Project, project_id).shows_batch = shows_batch
