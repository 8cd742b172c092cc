"""Label Studio's projects as the service knows them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from ml_backend.store.models import Project, ProjectState, TrainingRun, Version, now


@dataclass(frozen=True)
class Purged:
    """What a purged project leaves behind: hashes of weights that no other project uses, ids of its parts."""

    weights: list[str]
    versions: list[int]
    runs: list[int]


def get(session: Session, project_id: int) -> Project | None:
    """The project with Label Studio's id `project_id`, or None."""
    return session.get(Project, project_id)


def all_projects(session: Session) -> list[Project]:
    """All projects, by id."""
    return list(session.scalars(select(Project).order_by(Project.id)))


def active(session: Session) -> list[Project]:
    """The projects that something is done for, by id: all that are not archived."""
    return list(session.scalars(select(Project).where(Project.archived_at.is_(None)).order_by(Project.id)))


def is_active(session: Session, project_id: int) -> bool:
    """Whether the project is known and not archived."""
    project = session.get(Project, project_id)
    return project is not None and project.archived_at is None


def archive(session: Session, project: Project, *, by_hand: bool) -> None:
    """Do nothing for the project any more; all its rows and weights stay."""
    project.archived_at = project.archived_at or now()
    project.archived_by_hand = by_hand
    session.flush()


def restore(session: Session, project: Project) -> None:
    """Serve an archived project again; the next look at it compares everything anew."""
    project.archived_at, project.archived_by_hand, project.extent = None, False, None
    session.flush()


def purge(session: Session, project_id: int) -> Purged:
    """Delete the project with all its rows; returns what then lies about without an owner."""
    held = select(Version.weights_hash).where(Version.weights_hash.is_not(None))
    own = set(session.scalars(held.where(Version.project_id == project_id)))
    others = set(session.scalars(held.where(Version.project_id != project_id)))
    versions = list(session.scalars(select(Version.id).where(Version.project_id == project_id)))
    runs = list(session.scalars(select(TrainingRun.id).where(TrainingRun.project_id == project_id)))
    session.execute(delete(Project).where(Project.id == project_id))
    session.expire_all()
    return Purged(sorted(key for key in own - others if key is not None), versions, runs)


def ensure(session: Session, project_id: int, *, seed: int) -> Project:
    """The project, made with `seed` if it was unknown; needs a writing session."""
    project = session.get(Project, project_id)
    if project is None:
        project = Project(id=project_id, seed=seed, label_config="", state=ProjectState.NEW)
        session.add(project)
        session.flush()
    return project


def matches(project: Project, label_config: str | None, title: str | None) -> bool:
    """Whether a description of the project holds nothing new; what is empty in it says nothing."""
    config = (label_config or "").strip()
    return (not config or config == project.label_config) and (not title or title == project.title)


def note(
    session: Session, project_id: int, label_config: str | None, title: str | None = None, *, seed: int
) -> bool:
    """Keep what Label Studio says of a project, made with `seed` if unknown; True if its config is new."""
    project = ensure(session, project_id, seed=seed)
    if matches(project, label_config, title):
        return False
    project.title = title or project.title
    return bool(label_config and label_config.strip()) and set_label_config(
        session, project, label_config or ""
    )


def set_label_config(session: Session, project: Project, label_config: str) -> bool:
    """Store a labeling config; True if it differs from the stored one by more than outer white space.

    A project whose config changed is new again: its masks may mean something else now.
    """
    stripped = label_config.strip()
    if project.label_config == stripped:
        return False
    project.label_config, project.state = stripped, ProjectState.NEW
    session.flush()
    return True


def note_calls(session: Session, project_ids: Iterable[int]) -> None:
    """Write down that Label Studio has just called about these projects."""
    session.execute(
        update(Project)
        .where(Project.id.in_(list(project_ids)))
        .values(called_at=now(), updated_at=Project.updated_at)
        .execution_options(synchronize_session=False)
    )
