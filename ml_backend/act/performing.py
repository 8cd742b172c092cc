"""Performing: the job that does what somebody asked for, once, and records the outcome."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from types import MappingProxyType

from rq.exceptions import InvalidJobOperation, NoSuchJobError

from ml_backend.act.asking import IMAGES, RefusedError, UnknownError, check
from ml_backend.label_studio.blueprint import CHECK_VIEW_TITLE
from ml_backend.label_studio.views import remove_check_view
from ml_backend.learn.suspicious import show_in_view, update
from ml_backend.learn.trigger import consider
from ml_backend.queue import kinds
from ml_backend.queue.context import Context
from ml_backend.queue.jobs import job
from ml_backend.queue.queues import JobQueues
from ml_backend.reconcile.lifecycle import retry_images
from ml_backend.store import actions, drafts, events, runs, suspicious, versions
from ml_backend.store.actions import Action
from ml_backend.store.database import Database
from ml_backend.store.models import Project, Version, now
from ml_backend.store.states import ActionKind, ActionState

logger = logging.getLogger(__name__)

NOT_COPIED = ("comparison", "problems")
"""Metrics of a version that say nothing of its weights when they are published again."""


@job(kinds.ACT)
def perform(context: Context, action_id: int) -> None:
    """Do what an action asks for, or record why it cannot be done; does nothing the second time."""
    with context.database.read() as session:
        action = actions.get(session, action_id)
    if action is None or action.state is not ActionState.WAITING:
        return
    try:
        _DOINGS[action.kind](context, action)
    except RefusedError as refused:
        with context.database.write() as session:
            actions.end(session, action_id, ActionState.REFUSED, str(refused))
    logger.info("Action %d, %s %s by %s, is done.", action.id, action.kind, action.target, action.who)


def resume_actions(database: Database, queues: JobQueues) -> None:
    """Request the actions that no worker has done, as Redis did not answer or lost them."""
    with database.read() as session:
        waiting = actions.waiting(session)
    for action_id in waiting:
        queues.request_action(action_id)


def _publish_again(context: Context, action: Action) -> None:
    """Make a new version of former weights, and let it be scored and published like any other.

    So annotators see the old order or the new one, and never a mixture; later trainings start from it, as it
    is the newest one; and a version that is on its way is overtaken. A training that runs began with other
    weights: it ends without a version, and its labels are learned again.
    """
    assert action.project_id is not None
    with context.database.read() as session:
        chosen = versions.by_name(session, action.target)
    if chosen is not None and chosen.weights_hash and not context.weights.can_give(chosen.weights_hash):
        raise RefusedError(f"The weights of {chosen.name} are no longer in the store.")
    with context.database.write() as session:
        check(session, action.kind, action.project_id, action.target)
        source = versions.by_name(session, action.target)
        assert source is not None  # guaranteed by check
        reason = f"Stopped, as {action.who} published {source.name}."
        is_running = runs.stop(session, action.project_id, reason)
        surplus = drafts.drop(session, action.project_id)
        message = f"The weights of {source.name} again, as {action.who} asked."
        successor = versions.create_successor(session, source, message, without=NOT_COPIED)
        outcome = f"{successor.name} has the weights of {source.name}. It is being scored, then published."
        if is_running:
            outcome += " The training that was running ended; its labels are learned again from there."
        actions.end(session, action.id, ActionState.DONE, outcome)
    context.queues.request_score_version(successor.id)
    consider(context.database, context.queues, context.settings, action.project_id)
    _delete_weights(context, surplus)


def _delete_weights(context: Context, keys: Iterable[str]) -> None:
    for key in keys:
        try:
            context.weights.delete(key)
        except OSError as error:
            logger.warning("The weights %s of a former draft stay in the store: %s", key, error)


def _delete(context: Context, action: Action) -> None:
    """Delete a version's weights; its row stays, so that the figures still tell the whole story."""
    with context.database.read() as session:
        check(session, action.kind, action.project_id, action.target)
        version = versions.by_name(session, action.target)
        assert version is not None  # guaranteed by check
        key = version.weights_hash
        assert key is not None
        is_shared = versions.uses_weights(session, key, besides=version.id)
    if not is_shared:
        context.weights.delete(key)
    with context.database.write() as session:
        session.get_one(Version, version.id).weights_hash = None
        outcome = f"The weights of {version.name} are deleted; its figures stay."
        if is_shared:
            outcome = f"{version.name} has no weights any more; another version has the same and keeps them."
        actions.end(session, action.id, ActionState.DONE, outcome)


def _keep(context: Context, action: Action) -> None:
    with context.database.write() as session:
        check(session, action.kind, action.project_id, action.target)
        version = versions.by_name(session, action.target)
        assert version is not None  # guaranteed by check
        version.kept = action.kind is ActionKind.KEEP
        outcome = f"The weights of {version.name} are kept until somebody releases them."
        if not version.kept:
            outcome = f"The weights of {version.name} are kept as long as KEEP_VERSIONS says."
        actions.end(session, action.id, ActionState.DONE, outcome)


def _pause(context: Context, action: Action) -> None:
    """Pause learning: what was learned so far stays in the checkpoint, tasks keep masks and order."""
    assert action.project_id is not None
    with context.database.write() as session:
        check(session, action.kind, action.project_id, action.target)
        session.get_one(Project, action.project_id).paused_at = now()
        is_running = runs.let_go(session, action.project_id, f"Paused by {action.who}.")
        outcome = "Learning is paused: labels are collected, masks and order stay as they are."
        if is_running:
            outcome += " The training that was running continues when learning is resumed."
        actions.end(session, action.id, ActionState.DONE, outcome)


def _resume(context: Context, action: Action) -> None:
    assert action.project_id is not None
    with context.database.write() as session:
        check(session, action.kind, action.project_id, action.target)
        session.get_one(Project, action.project_id).paused_at = None
        is_begun = runs.running(session, action.project_id) is not None
        outcome = "Learning is resumed."
        actions.end(session, action.id, ActionState.DONE, outcome)
    if is_begun:
        context.queues.request_training(action.project_id)
    else:
        consider(context.database, context.queues, context.settings, action.project_id)


def _train(context: Context, action: Action) -> None:
    assert action.project_id is not None
    with context.database.write() as session:
        check(session, action.kind, action.project_id, action.target)
        events.add(session, action.project_id, events.START_TRAINING)
        actions.end(session, action.id, ActionState.DONE, "A training was requested.")
    consider(context.database, context.queues, context.settings, action.project_id)


def _retry(context: Context, action: Action) -> None:
    if action.target == IMAGES:
        retry_images(context.database, action.project_id)
        context.queues.request_reconcile()
        outcome = "All images that could not be read are read again."
    else:
        try:
            context.queues.try_again(action.target)
        except (NoSuchJobError, InvalidJobOperation) as error:
            raise UnknownError("That job has not failed, or its record is gone.") from error
        outcome = f"The job {action.target} is tried again."
    with context.database.write() as session:
        actions.end(session, action.id, ActionState.DONE, outcome)


def _check(context: Context, action: Action) -> None:
    """Show the labels to look at again in a view of their own, or remove it if there are none any more."""
    assert action.project_id is not None
    update(context, action.project_id)
    with context.database.read() as session:
        found = suspicious.listed(session, action.project_id)
    if found:
        _, tasks = show_in_view(context, action.project_id)
        count = f"{tasks} tasks" if tasks > 1 else "1 task"
        outcome = f"The view “{CHECK_VIEW_TITLE}” in Label Studio shows {count}."
    else:
        remove_check_view(context.label_studio, action.project_id)
        outcome = f"No label looks wrong any more, so there is no view “{CHECK_VIEW_TITLE}”."
    with context.database.write() as session:
        actions.end(session, action.id, ActionState.DONE, outcome)


_DOINGS: MappingProxyType[ActionKind, Callable[[Context, Action], None]] = MappingProxyType(
    {
        ActionKind.PUBLISH: _publish_again,
        ActionKind.ROLL_BACK: _publish_again,
        ActionKind.DELETE: _delete,
        ActionKind.KEEP: _keep,
        ActionKind.RELEASE: _keep,
        ActionKind.PAUSE: _pause,
        ActionKind.RESUME: _resume,
        ActionKind.TRAIN: _train,
        ActionKind.RETRY: _retry,
        ActionKind.CHECK: _check,
    }
)
