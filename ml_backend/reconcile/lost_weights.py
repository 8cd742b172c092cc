"""Weights of the published version that are missing from the store: restored, or replaced by a training."""

from __future__ import annotations

from collections.abc import Iterator

from ml_backend.learn.trigger import consider
from ml_backend.queue.context import Context
from ml_backend.reconcile.discrepancy import Discrepancy
from ml_backend.store import events
from ml_backend.store.models import Version

LOST = "The weights of this version are gone: its order stays, and a training from scratch was asked for."
"""Message of a published version whose weights are lost. Do not change it: stored messages are compared."""


def repair(context: Context, version: Version) -> Iterator[Discrepancy]:
    """Restore lost weights from the local cache, or request a training that replaces them, once."""
    key = version.weights_hash
    if key is None:
        return
    if context.weights.contains(key):
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
    if not known:
        _set_message(context, version, LOST)
        consider(context.database, context.queues, context.settings, version.project_id)
    yield Discrepancy(
        version.project_id,
        f"The weights of {version.name} are missing from the store: new images get no score until a training "
        "from scratch has replaced them.",
        repaired=not known,
    )


def _set_message(context: Context, version: Version, message: str) -> None:
    with context.database.write() as session:
        session.get_one(Version, version.id).message = message
