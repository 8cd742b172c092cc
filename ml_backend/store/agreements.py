"""Agreement between the annotators of a task, for tasks annotated by several people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from ml_backend.store import models


@dataclass(frozen=True)
class TaskAgreement:
    """Agreement on one task: the number of its annotators, and their mean Dice in [0, 1]."""

    annotators: int
    dsc: float


@dataclass(frozen=True)
class Summary:
    """Agreement in a project: mean Dice in [0, 1] over tasks with several annotators, and their number."""

    dsc: float
    tasks: int


def replace(session: Session, project_id: int, found: Mapping[int, TaskAgreement]) -> None:
    """Replace the agreements stored for a project; `found` is by task."""
    session.execute(delete(models.Agreement).where(models.Agreement.project_id == project_id))
    session.add_all(
        models.Agreement(project_id=project_id, task_id=task_id, annotators=one.annotators, dsc=one.dsc)
        for task_id, one in found.items()
    )
    session.flush()


def summaries(session: Session) -> dict[int, Summary]:
    """Summaries by project; projects without a task annotated by several people are left out."""
    query = select(models.Agreement.project_id, func.avg(models.Agreement.dsc), func.count()).group_by(
        models.Agreement.project_id
    )
    return {project_id: Summary(float(mean), tasks) for project_id, mean, tasks in session.execute(query)}


def lowest(session: Session, project_id: int, count: int) -> dict[int, TaskAgreement]:
    """The `count` tasks with the lowest agreement, by task, the lowest first."""
    query = (
        select(models.Agreement)
        .where(models.Agreement.project_id == project_id)
        .order_by(models.Agreement.dsc, models.Agreement.task_id)
        .limit(count)
    )
    return {row.task_id: TaskAgreement(row.annotators, row.dsc) for row in session.scalars(query)}
