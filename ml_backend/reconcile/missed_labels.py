"""Labels that no webhook reported: noted as events, so that the usual rules decide about a training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict

from ml_backend.label_studio.config import LabelConfigError, parse
from ml_backend.label_studio.survey import Extent
from ml_backend.learn.labels import Exclusions, choose, label_digests
from ml_backend.learn.trigger import consider
from ml_backend.queue.context import Context
from ml_backend.reconcile.discrepancy import Discrepancy
from ml_backend.setting_values import Rule
from ml_backend.store import events, labels_seen, runs
from ml_backend.store.labels_seen import LabelDigest
from ml_backend.store.models import Project, RunState, TrainingRun


def repair(context: Context, project: Project) -> Iterator[Discrepancy]:
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
    since = "" if last is None or extent.hides_changes(last) else last.changed_at
    found, touched = _read_changed(context, project, since)
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
        yield Discrepancy(
            project.id, f"{len(names)} label changes had not been reported: noted for the next training."
        )


def _last_run(context: Context, project_id: int) -> TrainingRun | None:
    with context.database.read() as session:
        return runs.last(session, project_id)


def _read_changed(context: Context, project: Project, since: str) -> tuple[dict[int, LabelDigest], set[int]]:
    """Digests by annotation id of the tasks changed since then, of all for "", and these tasks' ids."""
    found: dict[int, LabelDigest] = {}
    touched: set[int] = set()
    rule, exclusions = _rules(context, project)
    for task in context.label_studio.changed_since(project.id, since):
        touched.add(task.id)
        found |= label_digests(choose([task], rule, exclusions))
    return found, touched


def _rules(context: Context, project: Project) -> tuple[Rule, Exclusions]:
    """Which annotations count, and which answers exclude a task; the settings' rule without a config."""
    try:
        config = parse(project.label_config)
    except LabelConfigError:
        return context.settings.annotations, ()
    return context.settings.for_project(config.knobs.overrides).annotations, config.exclusions


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
