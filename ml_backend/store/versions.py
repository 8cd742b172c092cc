"""The versions of a project: created, scored, published, superseded."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from statistics import mean
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from ml_backend.store import projects
from ml_backend.store.models import Project, Version, VersionState, now
from ml_backend.store.version_names import IMAGE_DSC, version_name


def get(session: Session, version_id: int) -> Version | None:
    """The version, or None."""
    return session.get(Version, version_id)


def in_work(session: Session, version_id: int, *states: VersionState) -> Version | None:
    """The version if it is in one of these states and its project is not archived, else None."""
    version = session.get(Version, version_id)
    if version is None or version.state not in states or not projects.is_active(session, version.project_id):
        return None
    return version


def by_name(session: Session, name: str) -> Version | None:
    """The version of this name, or None."""
    return session.scalars(select(Version).where(Version.name == name)).one_or_none()


def at_round(session: Session, project_id: int, round: int) -> Version | None:
    """The version of a project's round, or None."""
    return session.scalars(
        select(Version).where(Version.project_id == project_id, Version.round == round)
    ).one_or_none()


def of_project(session: Session, project_id: int | None = None) -> list[Version]:
    """Versions of one project (of all projects if None), newest first."""
    query = select(Version).order_by(Version.id.desc())
    return list(
        session.scalars(query if project_id is None else query.where(Version.project_id == project_id))
    )


def in_state(session: Session, *states: VersionState) -> list[Version]:
    """Versions of all projects that are in one of `states`, oldest first."""
    return list(session.scalars(select(Version).where(Version.state.in_(states)).order_by(Version.id)))


def published(session: Session, project_id: int) -> Version | None:
    """The published version of the project, or None before the first."""
    query = (
        select(Version)
        .join(Project, Project.published_version_id == Version.id)
        .where(Project.id == project_id)
    )
    return session.scalars(query).one_or_none()


def current(session: Session, project_id: int) -> Version | None:
    """The version that is published, or the newer one that will be next; None before the first."""
    query = select(Version).where(
        Version.project_id == project_id,
        Version.state.in_((VersionState.SCORING, VersionState.PUBLISHED)),
    )
    return session.scalars(query.order_by(Version.id.desc()).limit(1)).one_or_none()


def first_to_draw(session: Session, project_id: int) -> Version | None:
    """The version with the initial weights while it is being scored; None if there is none."""
    first = at_round(session, project_id, 0)
    is_under_way = first is not None and first.state is VersionState.SCORING and first.weights_hash
    return first if is_under_way else None


def current_name(session: Session, project: Project) -> str:
    """The name that /setup returns: of the published version, or of round 0 before the first."""
    version = published(session, project.id)
    return version.name if version is not None else version_name(project.id, 0, project.seed)


def states(session: Session, project_id: int) -> list[tuple[int, VersionState, bool, str | None]]:
    """(id, state, kept, hash of the weights) of a project's versions, without their metrics."""
    query = select(Version.id, Version.state, Version.kept, Version.weights_hash).where(
        Version.project_id == project_id
    )
    return [(*row,) for row in session.execute(query.order_by(Version.id))]


def is_published_again(session: Session, version: Version) -> bool:
    """Whether a version has the very weights of the one it was made from, so that no training made it."""
    parent = None if version.parent_id is None else session.get(Version, version.parent_id)
    return parent is not None and parent.weights_hash == version.weights_hash is not None


def uses_weights(session: Session, weights_hash: str, *, besides: int) -> bool:
    """Whether another version than `besides` has these weights."""
    query = select(Version.id).where(Version.weights_hash == weights_hash, Version.id != besides)
    return session.scalars(query.limit(1)).first() is not None


def count(session: Session) -> dict[VersionState, int]:
    """Number of versions of all projects by state, zeros included."""
    query = select(Version.state, func.count()).group_by(Version.state)
    counted = dict(session.execute(query).all())
    return {state: counted.get(state, 0) for state in VersionState}


def next_round(session: Session, project_id: int) -> int:
    """The round of the next version; the first version of a project has round 0."""
    last = session.scalar(select(func.max(Version.round)).where(Version.project_id == project_id))
    return 0 if last is None else last + 1


def dsc_by_task(version: Version) -> dict[int, float]:
    """Validation Dice by task, in [0, 1]; empty for versions of earlier releases.

    It is the mean over the labels that occur in an image, and 1.0 for an image that is rightly empty; a task
    with several images has their mean.
    """
    found: dict[int, list[float]] = {}
    for row in version.metrics.get(IMAGE_DSC, ()):
        of_labels = row["dsc"].values()
        found.setdefault(int(row["task"]), []).append(mean(of_labels) if of_labels else 1.0)
    return {task: mean(values) for task, values in found.items()}


def create(
    session: Session,
    project: Project,
    *,
    round: int,
    state: VersionState,
    labels: Sequence[str] = (),
    parent_id: int | None = None,
    weights_hash: str | None = None,
    labels_used: int = 0,
    metrics: dict[str, Any] | None = None,
    seconds_training: float = 0.0,
) -> Version:
    """Add a version, named by `version_name`; an existing version of that round is returned unchanged."""
    name = version_name(project.id, round, project.seed)
    existing = by_name(session, name)
    if existing is not None:
        return existing
    version = Version(
        project_id=project.id,
        name=name,
        round=round,
        state=state,
        labels=list(labels),
        parent_id=parent_id,
        weights_hash=weights_hash,
        labels_used=labels_used,
        metrics=metrics or {},
        seconds_training=seconds_training,
    )
    session.add(version)
    session.flush()
    return version


def create_successor(
    session: Session, version: Version, message: str, *, without: Collection[str] = ()
) -> Version:
    """Add a version with the weights of another one, to be scored and published.

    Args:
        session: the transaction.
        version: whose weights, labels and metrics are taken over.
        message: says why.
        without: names of metrics that are not taken over.
    """
    project = session.get_one(Project, version.project_id)
    successor = create(
        session,
        project,
        round=next_round(session, project.id),
        state=VersionState.SCORING,
        labels=version.labels,
        parent_id=version.id,
        weights_hash=version.weights_hash,
        labels_used=version.labels_used,
        metrics={name: value for name, value in version.metrics.items() if name not in without},
    )
    successor.message = message
    return successor


def publish(session: Session, version: Version) -> None:
    """Publish a version; the project's former published version becomes superseded."""
    former = (Version.project_id == version.project_id, Version.state == VersionState.PUBLISHED)
    session.execute(
        update(Version).where(*former, Version.id != version.id).values(state=VersionState.SUPERSEDED)
    )
    session.execute(
        update(Project).where(Project.id == version.project_id).values(published_version_id=version.id)
    )
    version.state = VersionState.PUBLISHED
    version.published_at = version.published_at or now()
    session.flush()
