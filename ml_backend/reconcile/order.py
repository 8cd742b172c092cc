"""The order that Label Studio shows: model version, sampling and views, and whether it is up to date."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ml_backend.label_studio.blueprint import (
    VIEW_COLUMNS,
    VIEW_TITLE,
    Order,
    annotator_of,
    order_fields,
    view_rules,
)
from ml_backend.label_studio.config import LabelConfigError, parse
from ml_backend.label_studio.views import restore_annotator_views
from ml_backend.queue.context import Context
from ml_backend.reconcile.discrepancy import Discrepancy
from ml_backend.score.batch import refresh_batch
from ml_backend.score.first_order import IN_PROGRESS, is_outdated
from ml_backend.score.strategy import order_of, wanted
from ml_backend.store import versions
from ml_backend.store.models import Project, Version, VersionState


def repair_display(
    context: Context,
    project: Project,
    version: Version,
    fields: Mapping[str, Any],
    stored: Mapping[str, int],
) -> Iterator[Discrepancy]:
    """Make Label Studio order by the published version again.

    Sampling and view are repaired only in projects that were connected, which is known by the view. In other
    projects, where the backend only draws masks, these settings are left alone.

    Args:
        context: the context of the job.
        project: the project.
        version: its published version.
        fields: Label Studio's fields of the project.
        stored: number of predictions in Label Studio by version name.
    """
    yield from _repair_model_version(context, version, fields, stored)
    views, order = context.label_studio.views(project.id), order_of(version)
    yield from _repair_view(context, project, version, views)
    yield from _repair_annotator_views(context, project, views, order)
    if project.has_view or any(_is_ours(view) for view in views):
        yield from _repair_sampling(context, project, fields, order)


def repair_outdated(context: Context, project: Project, version: Version) -> Iterator[Discrepancy]:
    """Request a new order if the published predictions do not match the labeling config and STRATEGY.

    Does nothing while a version is in progress, as that one will match.
    """
    try:
        config = parse(project.label_config)
    except LabelConfigError:
        # Reported by `dsal status` and `dsal doctor`; the published predictions stay.
        return
    with context.database.read() as session:
        in_progress = [one for one in versions.of_project(session, project.id) if one.state in IN_PROGRESS]
    if in_progress or not is_outdated(context, version, config):
        return
    if context.queues.request_order(project.id):
        configured = wanted(context.settings, config).name
        reason = (
            "was made for another labeling config"
            if configured == version.strategy
            else f"is ordered by {version.strategy}, but {configured} is configured"
        )
        yield Discrepancy(project.id, f"{version.name} {reason}: a new order was requested.")


def _repair_model_version(
    context: Context, version: Version, fields: Mapping[str, Any], stored: Mapping[str, int]
) -> Iterator[Discrepancy]:
    shown = fields["model_version"]
    # Label Studio refuses a version without predictions; the first scored task will set it.
    if shown == version.name or not stored.get(version.name):
        return
    with context.database.read() as session:
        shown_version = versions.by_name(session, shown) if shown else None
    if shown_version is not None and shown_version.state is VersionState.SCORING:
        # It is being published right now.
        return
    context.label_studio.patch_project(version.project_id, model_version=version.name)
    yield Discrepancy(
        version.project_id,
        f'Label Studio ordered by the model version "{shown or ""}": reset to {version.name}.',
    )


def _repair_view(
    context: Context, project: Project, version: Version, views: list[dict[str, Any]]
) -> Iterator[Discrepancy]:
    """Reset the view's order and filter, or create it again; a view that a person renamed is left alone."""
    order = order_of(version)
    rules = view_rules(order)
    ours = next((view for view in views if _is_ours(view)), None)
    if ours is None:
        if not project.has_view or any(rules.items() <= view["data"].items() for view in views):
            return
        data = {"title": VIEW_TITLE, "type": "list", "target": "tasks", **VIEW_COLUMNS, **rules}
        context.label_studio.create_view(project.id, data)
        yield Discrepancy(project.id, f'The view "{VIEW_TITLE}" was missing: created again.')
        return
    if not rules.items() <= ours["data"].items():
        if order.batch:
            # Tasks are marked first, so that the view is not empty once it is filtered to the marks.
            refresh_batch(context, version)
        context.label_studio.patch_view(ours["id"], project.id, {**ours["data"], **rules})
        yield Discrepancy(project.id, f'The view "{VIEW_TITLE}" had another order or filter: reset.')
    if not project.has_view:
        with context.database.write() as session:
            session.get_one(Project, project.id).has_view = True


def _repair_annotator_views(
    context: Context, project: Project, views: list[dict[str, Any]], order: Order
) -> Iterator[Discrepancy]:
    """Reset the order and filters of the annotators' views, and request an assignment of tasks."""
    restored = restore_annotator_views(context.label_studio, project.id, views, order)
    for email in restored:
        yield Discrepancy(project.id, f"The view of {email} had another order or filter: reset.")
    if order.batch or any(annotator_of(view) for view in views):
        context.queues.request_assignment(project.id)
    else:
        context.request_assignment(project.id)


def _repair_sampling(
    context: Context, project: Project, fields: Mapping[str, Any], order: Order
) -> Iterator[Discrepancy]:
    wrong = {name: value for name, value in order_fields(order).items() if fields.get(name) != value}
    if wrong:
        context.label_studio.patch_project(project.id, **wrong)
        was = ", ".join(f'{name} was "{fields.get(name)}"' for name in wrong)
        yield Discrepancy(project.id, f"{was}: reset, because the tasks would not be served in order.")


def _is_ours(view: Mapping[str, Any]) -> bool:
    return bool(view["data"].get("title") == VIEW_TITLE)
