"""The rows of Label Studio's projects."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from ml_backend.store.models import Draft, Examination, Project, ProjectState, TrainingRun, Version, now


@dataclass(frozen=True)
class Purged:
    """What remains of a purged project: hashes of weights that no other project uses, version and run ids."""

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
    """All projects that are not archived, by id."""
    return list(session.scalars(select(Project).where(Project.archived_at.is_(None)).order_by(Project.id)))


def is_active(session: Session, project_id: int) -> bool:
    """Whether the project is in the database and not archived."""
    project = session.get(Project, project_id)
    return project is not None and project.archived_at is None


def may_learn(session: Session, project_id: int) -> bool:
    """Whether the project is active and nobody has paused its learning."""
    project = session.get(Project, project_id)
    return project is not None and project.archived_at is None and project.paused_at is None


def archive(session: Session, project: Project, *, by_hand: bool) -> None:
    """Archive the project: nothing is done for it any more, and all its rows and weights stay."""
    project.archived_at = project.archived_at or now()
    project.archived_by_hand = by_hand
    session.flush()


def showing_batches(session: Session) -> list[Project]:
    """The active projects whose view shows only the tasks of a batch."""
    query = select(Project).where(Project.shows_batch, Project.archived_at.is_(None)).order_by(Project.id)
    return list(session.scalars(query))


def restore(session: Session, project: Project) -> None:
    """Restore an archived project; the next comparison reads all of its labels."""
    project.archived_at, project.archived_by_hand, project.extent = None, False, None
    session.flush()


def purge(session: Session, project_id: int) -> Purged:
    """Delete the project with all its rows; returns what is left to delete elsewhere."""
    hashes = select(Version.weights_hash).where(Version.weights_hash.is_not(None))
    own = set(session.scalars(hashes.where(Version.project_id == project_id)))
    draft = session.get(Draft, project_id)
    if draft is not None:
        own |= {draft.weights_hash, draft.former_hash} - {None}
    examination = session.get(Examination, project_id)
    if examination is not None:
        own |= {fold["weights"] for fold in examination.folds if fold["weights"]}
    others = set(session.scalars(hashes.where(Version.project_id != project_id)))
    versions = list(session.scalars(select(Version.id).where(Version.project_id == project_id)))
    runs = list(session.scalars(select(TrainingRun.id).where(TrainingRun.project_id == project_id)))
    session.execute(delete(Project).where(Project.id == project_id))
    session.expire_all()
    return Purged(sorted(key for key in own - others if key is not None), versions, runs)


def ensure(session: Session, project_id: int, *, seed: int) -> Project:
    """The project, created with `seed` if it does not exist; needs a writing session."""
    project = session.get(Project, project_id)
    if project is None:
        project = Project(id=project_id, seed=seed, label_config="", state=ProjectState.NEW)
        session.add(project)
        session.flush()
    return project


def matches(project: Project, label_config: str | None, title: str | None) -> bool:
    """Whether the project already has this labeling config and title; empty ones are ignored."""
    config = (label_config or "").strip()
    return (not config or config == project.label_config) and (not title or title == project.title)


def note(
    session: Session, project_id: int, label_config: str | None, title: str | None = None, *, seed: int
) -> bool:
    """Store a project's labeling config and title, creating it with `seed`; True if the config changed."""
    project = ensure(session, project_id, seed=seed)
    if matches(project, label_config, title):
        return False
    project.title = title or project.title
    return bool(label_config and label_config.strip()) and set_label_config(
        session, project, label_config or ""
    )


def set_label_config(session: Session, project: Project, label_config: str) -> bool:
    """Store a labeling config; True if it differs from the stored one by more than outer whitespace.

    A project whose config changed becomes `new` again, because its masks may mean something else now.
    """
    stripped = label_config.strip()
    if project.label_config == stripped:
        return False
    project.label_config, project.state = stripped, ProjectState.NEW
    session.flush()
    return True


def note_calls(session: Session, project_ids: Iterable[int]) -> None:
    """Record that Label Studio has just called about these projects."""
    session.execute(
        update(Project)
        .where(Project.id.in_(list(project_ids)))
        .values(called_at=now(), updated_at=Project.updated_at)
        .execution_options(synchronize_session=False)
    )
