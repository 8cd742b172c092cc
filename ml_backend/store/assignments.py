"""The annotators of a project that has several, and which task is assigned to whom."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from ml_backend.store.models import Annotator, Assignment, Project


def annotators(session: Session, project_id: int) -> list[Annotator]:
    """The project's annotators, sorted by address; empty if they share one view."""
    query = select(Annotator).where(Annotator.project_id == project_id)
    return list(session.scalars(query.order_by(Annotator.email)))


def projects_with_annotators(session: Session) -> list[int]:
    """Ids of the projects whose tasks are assigned to several annotators."""
    return list(session.scalars(select(Annotator.project_id).distinct().order_by(Annotator.project_id)))


def are_needed(session: Session, project_id: int) -> bool:
    """Whether the project's tasks are assigned to several annotators, or its view shows a batch."""
    annotator = select(Annotator.email).where(Annotator.project_id == project_id).limit(1)
    batch = select(Project.id).where(Project.id == project_id, Project.shows_batch)
    return session.scalar(annotator) is not None or session.scalar(batch) is not None


def set_annotators(session: Session, project_id: int, emails: Iterable[str]) -> None:
    """Set the project's annotators; rows of annotators who remain are kept."""
    known = {one.email: one for one in annotators(session, project_id)}
    wanted = set(emails)
    for email in known.keys() - wanted:
        session.delete(known[email])
    session.add_all(Annotator(project_id=project_id, email=email) for email in sorted(wanted - known.keys()))
    session.flush()


def by_task(session: Session, project_id: int) -> dict[int, Assignment]:
    """Assignments by task: of tasks that are assigned, in a cooldown, or open in a browser."""
    query = select(Assignment).where(Assignment.project_id == project_id)
    return {assignment.task_id: assignment for assignment in session.scalars(query)}


def forget(session: Session, project_id: int, task_ids: Iterable[int]) -> None:
    """Delete the assignments of these tasks."""
    chosen = Assignment.task_id.in_(list(task_ids))
    session.execute(delete(Assignment).where(Assignment.project_id == project_id, chosen))
