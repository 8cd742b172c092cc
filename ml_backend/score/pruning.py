"""Pruning: what versions before the published one have left behind goes, but for what a page may still show.

A page submits its annotation with the number of the prediction that it began from, and Label Studio refuses
one whose prediction is gone ("Invalid pk"): an annotator would be told off for a label well drawn. So the
predictions of tasks that may be open change their version's name instead, for a day at least
(`store.names.open_name`), and only the others are deleted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from ml_backend.label_studio.errors import GONE, LabelStudioError
from ml_backend.queue.context import Context
from ml_backend.score.strategy import made_by
from ml_backend.store import scores, versions
from ml_backend.store.models import Version, VersionState, now
from ml_backend.store.version_names import is_open_name, no_longer_open, open_name

FINISHED = (VersionState.SUPERSEDED, VersionState.REJECTED, VersionState.FAILED)

LIKELY = 20
"""Tasks from the top of the former order that somebody may have open. Label Studio locks what its label
stream hands out, but tells nobody about a task that was opened by a click in the list."""

LATEST = 50
"""Tasks labelled last whose pages may still be open, to update what was submitted."""

FORMER = 2
"""Predictions kept of a task that nobody is known to have open: the editor shows a tab for each."""


def prune(context: Context, version: Version) -> None:
    """Delete the predictions of our other versions, and weights beyond KEEP_VERSIONS; others' stay."""
    with context.database.read() as session:
        ours = versions.of_project(session, version.project_id)
    others = [one for one in ours if one.id != version.id and one.state in FINISHED]
    _prune_predictions(context, version.project_id, ours)
    with context.database.write() as session:
        scores.drop_packed(session, [one.id for one in others])
    _prune_weights(context, version, others)


def left_over(stored: Mapping[str, int], project_id: int, ours: Iterable[Version]) -> list[str]:
    """Those of our names that Label Studio should hold no predictions of any more.

    Args:
        stored: the number of predictions that it holds of each version.
        project_id: the project.
        ours: its versions.
    """
    finished = {one.name for one in ours if one.state in FINISHED}
    stored_names = [name for name, count in stored.items() if count]
    return [
        *(name for name in stored_names if name in finished),
        *no_longer_open(stored_names, project_id, now().date()),
    ]


def set_aside(context: Context, project_id: int, prediction_id: int) -> None:
    """Have a prediction order nothing any more, and be there for the page that may show it."""
    name = open_name(project_id, now().date())
    _unless_gone(context.label_studio.rename_prediction, prediction_id, name)


def _prune_predictions(context: Context, project_id: int, ours: Sequence[Version]) -> None:
    shown = {one.name: one for one in ours if one.published_at is not None}
    for name in left_over(context.label_studio.model_versions(project_id), project_id, ours):
        if name in shown:
            _set_aside_open(context, shown[name])
        context.label_studio.delete_model_version(project_id, name)


def _set_aside_open(context: Context, version: Version) -> None:
    label_studio, project_id = context.label_studio, version.project_id
    opened = label_studio.opened(project_id)
    tasks = opened | label_studio.labelled_last(project_id, version.name, LATEST)
    tasks |= _next_in_line(context, version, tasks)
    for task in sorted(label_studio.predictions_of(project_id, sorted(tasks), version.name)):
        _set_aside_of(context, version, task, is_open=task in opened)


def _set_aside_of(context: Context, version: Version, task: int, *, is_open: bool) -> None:
    found = sorted(context.label_studio.predictions(task), key=lambda one: int(one["id"]))
    former = [one["id"] for one in found if is_open_name(one["model_version"], version.project_id)]
    for one in found:
        if one["model_version"] == version.name:
            set_aside(context, version.project_id, one["id"])
            former.append(one["id"])
    if not is_open:
        for surplus in former[:-FORMER]:
            _unless_gone(context.label_studio.delete_prediction, surplus)


def _unless_gone(call: Callable[..., None], *arguments: object) -> None:
    try:
        call(*arguments)
    except LabelStudioError as error:
        if error.status != GONE:
            raise


def _next_in_line(context: Context, version: Version, without: set[int]) -> set[int]:
    """The tasks that were to be labelled next by a version, some others left out."""
    with context.database.read() as session:
        known = {
            row.task_id: row.score
            for row in scores.of_version(session, version.id)
            if row.score is not None and row.task_id not in without
        }
    ranked = sorted(known, key=known.__getitem__, reverse=made_by(version).highest_first)
    return set(ranked[:LIKELY])


def _prune_weights(context: Context, version: Version, others: Iterable[Version]) -> None:
    with_weights = [other for other in others if other.weights_hash]
    kept = {other.weights_hash for other in with_weights[: context.settings.keep_versions]} | {
        version.weights_hash
    }
    for other in with_weights[context.settings.keep_versions :]:
        if other.weights_hash not in kept and other.weights_hash is not None:
            context.weights.delete(other.weights_hash)
            with context.database.write() as session:
                session.get_one(Version, other.id).weights_hash = None
