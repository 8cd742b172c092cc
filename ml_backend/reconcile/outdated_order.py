"""Whether the published predictions are what the labeling config and STRATEGY ask for now."""

from __future__ import annotations

from collections.abc import Iterator

from ml_backend.label_studio.config import LabelConfigError, parse
from ml_backend.queue.context import Context
from ml_backend.reconcile.finding import Finding
from ml_backend.score.orders import UNDER_WAY, is_outdated
from ml_backend.score.strategy import wanted
from ml_backend.store import versions
from ml_backend.store.models import Project, Version


def repair(context: Context, project: Project, version: Version) -> Iterator[Finding]:
    """Have the published weights order and draw as is asked for now, unless a newer version will."""
    try:
        config = parse(project.label_config)
    except LabelConfigError:
        # `dsal status` and `dsal doctor` tell; what is published stays as it is.
        return
    with context.database.read() as session:
        ahead = [one for one in versions.of_project(session, project.id) if one.state in UNDER_WAY]
    if ahead or not is_outdated(context, version, config):
        return
    if context.queues.request_order(project.id):
        asked = wanted(context.settings, config).name
        was = "drawn for another labeling config" if asked == version.strategy else f"by {version.strategy}"
        yield Finding(project.id, f"{version.name} was {was}, {asked} is asked for: ordered anew.")
