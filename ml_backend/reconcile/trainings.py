"""Trainings that are due although no webhook triggers them: missed labels, lost weights, failed trainings.

Missed labels and lost weights are noted as events, and the usual rules decide when a training starts. A
training that failed for a temporary reason is requested again, after increasing delays.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from datetime import timedelta
from itertools import takewhile

from ml_backend.label_studio.config import LabelConfigError, parse
from ml_backend.label_studio.survey import Extent
from ml_backend.learn.labels import choose, label_digests
from ml_backend.learn.trigger import consider
from ml_backend.queue.context import Context
from ml_backend.queue.queues import RETRY_SECONDS
from ml_backend.reconcile.finding import Finding
from ml_backend.settings import Rule
from ml_backend.store import events, labels_seen, runs
from ml_backend.store.labels_seen import LabelDigest
from ml_backend.store.models import Project, RunState, TrainingRun, Version, now

FIRST_WAIT = timedelta(minutes=5)
"""Delay before a failed training is requested again; it doubles with each further request that fails."""

LONGEST_WAIT = timedelta(days=1)

RUNS_PER_REQUEST = len(RETRY_SECONDS) + 1
"""Runs that one failing request makes, because the queue retries the job."""

LOST = "The weights of this version are gone: its order stays, and a training from scratch was asked for."
"""Message of a published version whose weights are lost. Do not change it: stored messages are compared."""


def repair_missed_labels(context: Context, project: Project) -> Iterator[Finding]:
    """Note an event for each label change since the last training that no webhook has reported.

    Covers missed webhooks, imports and deletions. One request tells whether any label has changed since the
    last comparison; only changed tasks are read. Nothing is compared during a training, as what it saw is
    known only when it has ended.
    """
    before = _last_run(context, project.id)
    if before is not None and before.state is RunState.RUNNING:
        return
    extent = context.label_studio.extent(project.id)
    last = Extent(**project.extent) if project.extent else None
    if extent == last:
        return
    found, touched = _read_changed(context, project, last)
    touched |= _no_longer_labelled(context, project.id, last, extent)
    with context.database.write() as session:
        after = runs.last(session, project.id)
        if (after and after.id, after and after.state) != (before and before.id, before and before.state):
            return
        names = {f"annotation:{number}" for number in _changed(context, project.id, found, touched)}
        names -= events.pending_changes(session, project.id)
        if names:
            events.add(session, project.id, events.MISSED, changes=sorted(names))
        session.get_one(Project, project.id).extent = asdict(extent)
    if names:
        consider(context.database, context.queues, context.settings, project.id)
        yield Finding(
            project.id, f"{len(names)} label changes had not been reported: noted for the next training."
        )


def repair_lost_weights(context: Context, version: Version) -> Iterator[Finding]:
    """Restore lost weights from the local cache, or request a training that replaces them, once."""
    key = version.weights_hash
    if key is None:
        return
    if context.weights.contains(key):
        if version.message == LOST:
            _set_message(context, version, "")
        return
    if context.weights.restore(key):
        yield Finding(
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
    yield Finding(
        version.project_id,
        f"The weights of {version.name} are missing from the store: new images get no score until a training "
        "from scratch has replaced them.",
        repaired=not known,
    )


def repair_failed(context: Context, project: Project) -> Iterator[Finding]:
    """Request a training again if the last one failed for a temporary reason and changes are pending."""
    with context.database.read() as session:
        failed = list(
            takewhile(lambda run: run.state is RunState.FAILED, runs.of_project(session, project.id))
        )
        pending = bool(events.pending(session, project.id))
    if not failed or not failed[0].passing or failed[0].finished_at is None or not pending:
        return
    wait = min(FIRST_WAIT * 2 ** min((len(failed) - 1) // RUNS_PER_REQUEST, 16), LONGEST_WAIT)
    if now() - failed[0].finished_at >= wait and context.queues.request_training(project.id):
        yield Finding(project.id, f"A training failed: requested again. {failed[0].message}")


def _last_run(context: Context, project_id: int) -> TrainingRun | None:
    with context.database.read() as session:
        return runs.last(session, project_id)


def _read_changed(
    context: Context, project: Project, last: Extent | None
) -> tuple[dict[int, LabelDigest], set[int]]:
    """Digests by annotation id of tasks changed since the last comparison, and the ids of these tasks."""
    found: dict[int, LabelDigest] = {}
    touched: set[int] = set()
    rule = _rule(context, project)
    for task in context.label_studio.changed_since(project.id, last.changed_at if last else ""):
        touched.add(task.id)
        found |= label_digests(choose([task], rule))
    return found, touched


def _rule(context: Context, project: Project) -> Rule:
    """Which annotations count: the labeling config's rule, or the setting if the config cannot be read."""
    try:
        knobs = parse(project.label_config).knobs.overrides
    except LabelConfigError:
        knobs = {}
    return context.settings.for_project(knobs).annotations


def _no_longer_labelled(context: Context, project_id: int, last: Extent | None, extent: Extent) -> set[int]:
    """Tasks of the last training that are deleted or unlabelled now; empty if the totals show none."""
    if last is not None and extent.annotations >= last.annotations:
        created = context.label_studio.created_since(project_id, last.changed_at) if last.changed_at else 0
        if extent.tasks >= last.tasks + created:
            return set()
    with context.database.read() as session:
        seen = labels_seen.labelled_tasks(session, project_id)
    return seen - context.label_studio.labelled_now(project_id, sorted(seen))


def _changed(
    context: Context, project_id: int, found: dict[int, LabelDigest], touched: set[int]
) -> frozenset[int]:
    with context.database.read() as session:
        difference = labels_seen.difference(session, project_id, found, touched)
    return difference.new | difference.changed | difference.deleted


def _set_message(context: Context, version: Version, message: str) -> None:
    with context.database.write() as session:
        session.get_one(Version, version.id).message = message
