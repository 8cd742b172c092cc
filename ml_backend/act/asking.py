"""Asking: one row that says who wants what, and one job that does it.

What cannot be done is refused at once, with a sentence. It is checked again when a worker does it, since
other things may have happened meanwhile.
"""

from __future__ import annotations

import logging
import re

from redis.exceptions import RedisError
from sqlalchemy.orm import Session

from ml_backend.queue.queues import JobQueues
from ml_backend.store import actions, projects, suspicious, versions
from ml_backend.store.actions import Action
from ml_backend.store.database import Database
from ml_backend.store.models import Version, VersionState
from ml_backend.store.states import ActionKind

logger = logging.getLogger(__name__)

OF_VERSIONS = (
    ActionKind.PUBLISH,
    ActionKind.ROLL_BACK,
    ActionKind.DELETE,
    ActionKind.KEEP,
    ActionKind.RELEASE,
)
"""Actions on a version; the target is its name."""

IMAGES = "images"
"""Target of a retry that means all images of a project that could not be read."""


TARGET = r"[A-Za-z0-9._:\-]{0,200}"
"""What names of versions and ids of jobs consist of, as a regular expression."""


class RefusedError(ValueError):
    """It cannot be done now; the message is one sentence that says why and what to do."""


class UnknownError(RefusedError):
    """There is no such project, version or job."""


def ask(
    database: Database,
    queues: JobQueues,
    kind: ActionKind,
    *,
    project_id: int | None,
    target: str = "",
    who: str,
    via: str,
) -> Action:
    """Record an action and request the job that does it; returns the row.

    If Redis does not answer, the row waits, and the next worker that starts does it.

    Args:
        database, queues: of the service.
        kind: what is asked for.
        project_id: the project; None only to retry a job of no project.
        target: name of a version or id of a job; empty for the project itself, and for a roll-back to the
            version that was published before.
        who: name of the person.
        via: page, api or command.

    Raises:
        UnknownError: there is no such project or version.
        RefusedError: it cannot be done now.
    """
    if not re.fullmatch(TARGET, target):
        raise UnknownError("There is no version or job of this name.")
    with database.write() as session:
        if kind is ActionKind.ROLL_BACK and not target and project_id is not None:
            target = _before(session, project_id).name
        check(session, kind, project_id, target)
        action = actions.add(session, kind, project_id=project_id, target=target, who=who[:254], via=via)
    try:
        queues.request_action(action.id)
    except RedisError:
        logger.warning("Redis does not answer; action %d waits for the next start of a worker.", action.id)
    return action


def check(session: Session, kind: ActionKind, project_id: int | None, target: str) -> None:
    """Raise the error that says why this cannot be done now; nothing is changed."""
    if project_id is None:
        if kind is not ActionKind.RETRY or not target:
            raise UnknownError("Name a project.")
        return
    project = projects.get(session, project_id)
    if project is None:
        raise UnknownError(f"Project {project_id} is unknown here; connect it with dsal connect first.")
    if project.archived_at is not None:
        raise RefusedError(
            f"Project {project_id} is archived; restore it first with dsal projects restore {project_id}."
        )
    if kind in OF_VERSIONS:
        _check_version(session, kind, _version(session, project_id, target))
    elif kind is ActionKind.PAUSE and project.paused_at is not None:
        raise RefusedError(f"The learning of project {project_id} is paused already.")
    elif kind is ActionKind.RESUME and project.paused_at is None:
        raise RefusedError(f"The learning of project {project_id} is not paused.")
    elif kind is ActionKind.TRAIN and project.paused_at is not None:
        raise RefusedError(f"The learning of project {project_id} is paused; resume it first.")
    elif kind is ActionKind.CHECK and not suspicious.listed(session, project_id):
        raise RefusedError(f"No label of project {project_id} looks wrong.")


def _version(session: Session, project_id: int, name: str) -> Version:
    """The version of this name.

    Raises:
        UnknownError: the project has none of this name.
    """
    version = versions.by_name(session, name)
    if version is None or version.project_id != project_id:
        raise UnknownError(
            f"Project {project_id} has no version “{name}”; dsal versions {project_id} lists them."
        )
    return version


def _check_version(session: Session, kind: ActionKind, version: Version) -> None:
    if kind in (ActionKind.PUBLISH, ActionKind.ROLL_BACK):
        _check_publication(session, version)
    elif kind is ActionKind.DELETE:
        _check_deletion(version)
    elif kind is ActionKind.KEEP and version.kept:
        raise RefusedError(f"{version.name} is kept already.")
    elif kind is ActionKind.KEEP and version.weights_hash is None:
        raise RefusedError(f"{version.name} has no weights that could be kept.")
    elif kind is ActionKind.RELEASE and not version.kept:
        raise RefusedError(f"{version.name} is not marked to be kept.")


def _check_publication(session: Session, version: Version) -> None:
    if version.weights_hash is None:
        raise RefusedError(f"{version.name} has no weights any more, so it cannot be published.")
    current = versions.current(session, version.project_id)
    if current is not None and current.weights_hash == version.weights_hash:
        how = "is published" if current.state is VersionState.PUBLISHED else "is being published"
        same = "" if current.id == version.id else f", as {current.name}"
        raise RefusedError(f"{version.name} {how} already{same}.")


def _check_deletion(version: Version) -> None:
    if version.weights_hash is None:
        raise RefusedError(f"{version.name} has no weights that could be deleted.")
    if version.state in (VersionState.PUBLISHED, VersionState.SCORING):
        raise RefusedError(f"{version.name} is in use; publish another version first.")
    if version.kept:
        raise RefusedError(f"{version.name} is marked to be kept; release it first.")


def _before(session: Session, project_id: int) -> Version:
    """The version to go back to: the last one that was published before the current weights were first.

    So rolling back twice goes back two steps, and never to the version that was left.

    Raises:
        UnknownError: the project has no version.
        RefusedError: there is none to go back to.
    """
    current = versions.current(session, project_id)
    if current is None:
        raise UnknownError(f"Project {project_id} has no version yet, so there is nothing to go back to.")
    listed = versions.of_project(session, project_id)
    first = min(
        version.id
        for version in listed
        if version.id == current.id or version.weights_hash == current.weights_hash is not None
    )
    for version in listed:
        if version.id < first and version.published_at is not None and version.weights_hash is not None:
            return version
    raise RefusedError(
        f"Project {project_id} has no earlier version with weights, so there is nothing to go back to."
    )
