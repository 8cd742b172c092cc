"""Pruning: delete predictions and weights of former versions, except predictions an open page may still show.

A page submits its annotation with the id of the prediction it started from, and Label Studio refuses the
annotation if that prediction has been deleted ("Invalid pk"). So predictions of tasks that may be open are
kept for at least a day under another version name (`ml_backend.store.version_names.open_name`).
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta

from ml_backend.items import contained
from ml_backend.label_studio.errors import GONE, LabelStudioError
from ml_backend.queue import kinds
from ml_backend.queue.context import Context
from ml_backend.queue.jobs import job
from ml_backend.score.batch import ranking
from ml_backend.store import drafts, edits, projects, scores, versions
from ml_backend.store.models import Version, VersionState, now
from ml_backend.store.version_names import is_open_name, is_version_name, open_name

logger = logging.getLogger(__name__)

FINISHED = (VersionState.SUPERSEDED, VersionState.REJECTED, VersionState.FAILED)
"""States of versions whose predictions are obsolete."""

TURN_SECONDS = 30.0
"""Time after which a prune makes way for waiting jobs of its lane."""

MOST_BEHIND = 3
"""Former predictions that may be left, as a multiple of those of the largest version: a large project whose
rounds follow one another quickly makes more than can be deleted one by one, and its database would grow."""

TOP_TASKS = 20
"""Tasks at the top of the former order that may be open. Label Studio locks the tasks that its label stream
serves, but does not report a task that was opened by a click in the list."""

LAST_LABELLED = 50
"""Tasks labelled last whose pages may still be open, to update the submitted annotation."""

KEPT_DAYS = 1
"""Whole days for which predictions are kept for open pages, besides the day on which they were renamed."""

KEPT_PER_TASK = 2
"""Former predictions kept of a task that is not known to be open: the editor shows a tab for each."""


@job(kinds.PRUNE)
def prune(context: Context, version_id: int) -> None:
    """Delete predictions of the project's other versions, and weights beyond KEEP_VERSIONS.

    Does nothing if the version is not the published one. Predictions that this service did not write are not
    touched. After `TURN_SECONDS` it makes way for other upkeep, and continues after it: thousands of
    predictions are deleted slowly, so that nobody who annotates meanwhile waits for it. It ends while a newer
    version is being scored, since its order would wait for Label Studio; the publication requests the next
    prune, and if there is none, the comparison with Label Studio does.
    """
    with context.database.read() as session:
        version = versions.get(session, version_id)
        if version is None or version.state is not VersionState.PUBLISHED:
            return
        if not projects.is_active(session, version.project_id):
            return
        ours = versions.of_project(session, version.project_id)
    others = [one for one in ours if one.id != version.id and one.state in FINISHED]
    with context.database.write() as session:
        scores.drop_packed(session, [one.id for one in others])
    _prune_weights(context, version, others)
    if not _prune_predictions(context, version.project_id):
        context.queues.request_prune(version_id)


def obsolete_names(stored: Mapping[str, int], project_id: int, ours: Iterable[Version]) -> list[str]:
    """Version names of this service whose predictions should no longer be in Label Studio.

    Among them are versions that the database does not know, as it was restored from a backup: the next
    version of that round gets the same name, and would take their predictions for its own.

    Args:
        stored: number of predictions in Label Studio by version name.
        project_id: the project.
        ours: all versions of the project, read after `stored`.
    """
    states = {one.name: one.state for one in ours}
    stored_names = [name for name, count in stored.items() if count]
    return [
        *(name for name in stored_names if states.get(name) in FINISHED),
        *(name for name in stored_names if name not in states and is_version_name(name, project_id)),
        *no_longer_open(stored_names, project_id, now().date()),
    ]


def no_longer_open(names: Iterable[str], project_id: int, day: date) -> list[str]:
    """Those of `names` that were kept for open pages more than `KEPT_DAYS` before `day`.

    Those of a later day stay: the clock was set back since.
    """
    oldest = open_name(project_id, day - timedelta(days=KEPT_DAYS))
    return sorted(name for name in names if is_open_name(name, project_id) and name < oldest)


def keep_for_open_pages(context: Context, project_id: int, prediction_id: int, version: str) -> None:
    """Rename a prediction's version: it no longer affects the order, but pages that show it can submit.

    Args:
        context: of the job.
        project_id, prediction_id: Label Studio's.
        version: name of the version that drew it, which is recorded, so that annotations made from the
            prediction can be attributed to it.
    """
    with context.database.write() as session:
        edits.keep(session, project_id, prediction_id, version)
    name = open_name(project_id, now().date())
    _unless_gone(context.label_studio.rename_prediction, prediction_id, name)


def _prune_predictions(context: Context, project_id: int) -> bool:
    """Delete what is obsolete; False if there is more, and another prune is to continue."""
    studio = context.label_studio
    ends = time.monotonic() + TURN_SECONDS

    def goes_on() -> bool:
        is_over = time.monotonic() >= ends and context.queues.upkeep_waits()
        return not (is_over or context.is_scored_now(project_id))

    stored = studio.model_versions(project_id)
    with context.database.read() as session:
        ours = versions.of_project(session, project_id)
    shown = {one.name: one for one in ours if one.published_at is not None}
    names = obsolete_names(stored, project_id, ours)
    behind, largest = sum(stored[name] for name in names), max(stored.values(), default=0)
    for name in names:
        if context.is_scored_now(project_id):
            return True
        # In a further turn, others were labelled last: what is left of the version must not be kept for them.
        if name in shown and not context.queues.is_kept(name):
            _keep_open_tasks(context, shown[name])
            context.queues.note_kept(name)
        if behind > MOST_BEHIND * largest:
            logger.warning("%d former predictions are left: those of %s are deleted at once.", behind, name)
            studio.delete_together(project_id, name)
        elif not studio.delete_model_version(project_id, name, goes_on=goes_on):
            return context.is_scored_now(project_id)
        behind -= stored[name]
    return True


def _keep_open_tasks(context: Context, version: Version) -> None:
    label_studio, project_id = context.label_studio, version.project_id
    opened = label_studio.opened(project_id)
    tasks = opened | label_studio.labelled_last(project_id, version.name, LAST_LABELLED)
    tasks |= _top_tasks(context, version, without=tasks)
    for task in sorted(label_studio.predictions_of(project_id, sorted(tasks), version.name)):
        with contained(f"The former prediction of task {task}", logger.warning):
            _keep_task(context, version, task, is_open=task in opened)


def _keep_task(context: Context, version: Version, task: int, *, is_open: bool) -> None:
    found = sorted(context.label_studio.predictions(task), key=lambda one: int(one["id"]))
    former = [one["id"] for one in found if is_open_name(one["model_version"], version.project_id)]
    for one in found:
        if one["model_version"] == version.name:
            with context.database.read() as session:
                run_id = scores.drawn_by_run(session, version.id, task)
                by = drafts.drawer(session, version.name, version.project_id, run_id)
            keep_for_open_pages(context, version.project_id, one["id"], by)
            former.append(one["id"])
    if not is_open:
        for surplus in former[:-KEPT_PER_TASK]:
            _unless_gone(context.label_studio.delete_prediction, surplus)


def _unless_gone(call: Callable[..., None], *arguments: object) -> None:
    try:
        call(*arguments)
    except LabelStudioError as error:
        if error.status != GONE:
            raise


def _top_tasks(context: Context, version: Version, *, without: set[int]) -> set[int]:
    """The tasks that would be labelled next in a version's order, except those in `without`."""
    with context.database.read() as session:
        return set(ranking(session, version, without=without)[:TOP_TASKS])


def _prune_weights(context: Context, version: Version, others: Iterable[Version]) -> None:
    with_weights = [other for other in others if other.weights_hash and not other.kept]
    kept = {other.weights_hash for other in with_weights[: context.settings.keep_versions]} | {
        version.weights_hash,
        *(other.weights_hash for other in others if other.kept),
    }
    for other in with_weights[context.settings.keep_versions :]:
        if other.weights_hash not in kept and other.weights_hash is not None:
            context.weights.delete(other.weights_hash)
            with context.database.write() as session:
                session.get_one(Version, other.id).weights_hash = None
