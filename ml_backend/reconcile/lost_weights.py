"""Weights of the published version that are missing or damaged: restored, or replaced by others."""

from __future__ import annotations

from collections.abc import Iterator

from ml_backend.learn.trigger import consider
from ml_backend.queue.context import Context
from ml_backend.reconcile.discrepancy import Discrepancy
from ml_backend.score.first_order import IN_PROGRESS
from ml_backend.store import events, versions
from ml_backend.store.models import Version, VersionState
from ml_backend.store.weights import WeightStore

LOST = "The weights of this version are gone: its order stays, and a training from scratch was asked for."
"""Message of a published version whose weights are lost. Do not change it: stored messages are compared."""

REPLACED = "The weights of this version are lost: a version before it takes its place."
"""Message of a published version whose weights are lost, until the other is published."""


def repair(context: Context, version: Version) -> Iterator[Discrepancy]:
    """Restore lost or damaged weights from the local cache, or let others take their place.

    The newest version before whose weights are whole takes over: it scores all tasks again, as a new version.
    A training is requested once; it starts from that one's weights, or from scratch if there is none.
    """
    key = version.weights_hash
    if key is None:
        return
    if _is_sound(context.weights, key):
        if version.message == LOST:
            _set_message(context, version, "")
        return
    if context.weights.restore(key):
        yield Discrepancy(
            version.project_id,
            f"The weights of {version.name} were missing from the store: restored from this machine's cache.",
        )
        return
    change = f"weights:{version.id}"
    with context.database.write() as session:
        known = events.has_happened(session, version.project_id, events.WEIGHTS_LOST, change)
        if not known:
            events.add(session, version.project_id, events.WEIGHTS_LOST, changes=[change])
    substitute = _substitute(context, version)
    if substitute is not None:
        context.queues.request_score_version(substitute.id)
    if not known:
        _set_message(context, version, LOST if substitute is None else REPLACED)
        consider(context.database, context.queues, context.settings, version.project_id)
    if substitute is not None:
        yield Discrepancy(
            version.project_id,
            f"The weights of {version.name} are missing from the store or damaged: {substitute.name} takes "
            "its place, with the weights of a version before.",
        )
        return
    yield Discrepancy(
        version.project_id,
        f"The weights of {version.name} are missing from the store: new images get no score until a training "
        "from scratch has replaced them.",
        repaired=not known,
    )


def _is_sound(weights: WeightStore, key: str) -> bool:
    """Whether the store has these weights undamaged.

    A store on another machine is read only if this one has no copy of its own, since that takes long.
    """
    return weights.is_whole(key) if weights.is_local else weights.contains(key) and weights.can_give(key)


def _substitute(context: Context, version: Version) -> Version | None:
    """A new version with the weights of the newest one before whose weights are whole; None without one."""
    with context.database.read() as session:
        ours = versions.of_project(session, version.project_id)
    if any(one.state in IN_PROGRESS for one in ours):
        return None
    for former in ours:
        key = former.weights_hash
        if former.state is VersionState.SUPERSEDED and key and context.weights.can_give(key):
            message = f"Same weights as {former.name}, since those of {version.name} are lost."
            with context.database.write() as session:
                return versions.create_successor(session, former, message)
    return None


def _set_message(context: Context, version: Version, message: str) -> None:
    with context.database.write() as session:
        session.get_one(Version, version.id).message = message
