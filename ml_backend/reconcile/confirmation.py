"""Projects that somebody without a password spoke of: they are taken in once Label Studio shows them."""

from __future__ import annotations

import logging

from ml_backend.label_studio.errors import GONE, LabelStudioError
from ml_backend.queue import kinds
from ml_backend.queue.context import Context
from ml_backend.queue.jobs import job
from ml_backend.store import projects

logger = logging.getLogger(__name__)


@job(kinds.CONFIRM)
def confirm_projects(context: Context) -> None:
    """Ask Label Studio for each project that was spoken of; note those that exist, and request their order.

    Their labels are found by the comparison that follows. Of the others nothing is kept.
    """
    found = []
    waiting = context.queues.take_unconfirmed()
    for number, project_id in enumerate(waiting):
        try:
            fields = context.label_studio.project(project_id)
        except LabelStudioError as error:
            if error.status not in (GONE, 403):
                for one in waiting[number:]:
                    context.queues.request_confirmation(one)
                raise
            logger.warning("Label Studio shows no project %d, of which a call spoke: ignored.", project_id)
            context.queues.unconfirmed.remember_unknown(project_id)
            continue
        with context.database.write() as session:
            projects.note(
                session, project_id, fields["label_config"], fields["title"], seed=context.settings.seed
            )
            projects.note_calls(session, [project_id])
        found.append(project_id)
    for project_id in found:
        context.queues.request_order(project_id)
    if found:
        context.queues.request_reconcile()
