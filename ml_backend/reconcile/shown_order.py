"""What makes Label Studio hand out the tasks in our order: model version, sampling, view."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from ml_backend.label_studio.blueprint import (
    VIEW_COLUMNS,
    VIEW_TITLE,
    annotator_of,
    order_fields,
    view_rules,
)
from ml_backend.label_studio.views import restore_annotator_views
from ml_backend.queue.context import Context
from ml_backend.reconcile.finding import Finding
from ml_backend.score.strategy import made_by
from ml_backend.store import versions
from ml_backend.store.models import Project, Version, VersionState


def repair(
    context: Context,
    project: Project,
    version: Version,
    fields: Mapping[str, Any],
    stored: Mapping[str, int],
) -> Iterator[Finding]:
    """Have Label Studio order by the published version again.

    `fields` are Label Studio's of the project, `stored` its predictions by version. Sampling and view are
    mended only in projects that were connected, as the view shows: whoever uses the backend for drawing alone
    keeps a Label Studio that nobody else arranges.
    """
    yield from _model_version(context, version, fields, stored)
    views, highest_first = context.label_studio.views(project.id), made_by(version).highest_first
    yield from _view(context, project, views, highest_first)
    yield from _annotators(context, project, views, highest_first)
    if project.has_view or any(_is_ours(view) for view in views):
        yield from _sampling(context, project, fields, highest_first)


def _model_version(
    context: Context, version: Version, fields: Mapping[str, Any], stored: Mapping[str, int]
) -> Iterator[Finding]:
    shown = fields["model_version"]
    # Without predictions Label Studio refuses the version; the first scored task brings it up.
    if shown == version.name or not stored.get(version.name):
        return
    with context.database.read() as session:
        under_way = versions.by_name(session, shown) if shown else None
    if under_way is not None and under_way.state is VersionState.SCORING:
        # It is being published this moment.
        return
    context.label_studio.patch_project(version.project_id, model_version=version.name)
    yield Finding(
        version.project_id,
        f'Label Studio ordered by the model version "{shown or ""}": set back to {version.name}.',
    )


def _sampling(
    context: Context, project: Project, fields: Mapping[str, Any], highest_first: bool
) -> Iterator[Finding]:
    wrong = {name: value for name, value in order_fields(highest_first).items() if fields.get(name) != value}
    if wrong:
        context.label_studio.patch_project(project.id, **wrong)
        was = ", ".join(f'{name} was "{fields.get(name)}"' for name in wrong)
        yield Finding(project.id, f"{was}: set back, as it loses the order.")


def _view(
    context: Context, project: Project, views: list[dict[str, Any]], highest_first: bool
) -> Iterator[Finding]:
    """Give the view its order back, or make it anew; one that a person renamed is left to that person."""
    rules = view_rules(highest_first)
    ours = next((view for view in views if _is_ours(view)), None)
    if ours is None:
        if not project.has_view or any(rules.items() <= view["data"].items() for view in views):
            return
        data = {"title": VIEW_TITLE, "type": "list", "target": "tasks", **VIEW_COLUMNS, **rules}
        context.label_studio.create_view(project.id, data)
        yield Finding(project.id, f'The view "{VIEW_TITLE}" was gone: made anew.')
        return
    if not rules.items() <= ours["data"].items():
        context.label_studio.patch_view(ours["id"], project.id, {**ours["data"], **rules})
        yield Finding(project.id, f'The view "{VIEW_TITLE}" had another order or filter: set back.')
    if not project.has_view:
        with context.database.write() as session:
            session.get_one(Project, project.id).has_view = True


def _annotators(
    context: Context, project: Project, views: list[dict[str, Any]], highest_first: bool
) -> Iterator[Finding]:
    """Give the views of several annotators their order and filters back, and have their hands filled."""
    restored = restore_annotator_views(context.label_studio, project.id, views, highest_first=highest_first)
    for email in restored:
        yield Finding(project.id, f"The view of {email} had another order or filter: set back.")
    if any(annotator_of(view) for view in views):
        context.queues.request_assignment(project.id)
    else:
        context.request_assignment(project.id)


def _is_ours(view: Mapping[str, Any]) -> bool:
    return bool(view["data"].get("title") == VIEW_TITLE)
