"""Label Studio's projects as the service knows them."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from ml_backend.store.models import Project, ProjectState, now


def get(session: Session, project_id: int) -> Project | None:
    """The project with Label Studio's id `project_id`, or None."""
    return session.get(Project, project_id)


def all_projects(session: Session) -> list[Project]:
    """All projects, by id."""
    return list(session.scalars(select(Project).order_by(Project.id)))


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
