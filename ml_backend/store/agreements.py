"""How far the annotators of a task agree, for the tasks that several people have annotated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from ml_backend.store import models


@dataclass(frozen=True)
class Agreement:
    """Of one task: how many people annotated it, and their mean Dice, in [0, 1]."""

    annotators: int
    dsc: float


@dataclass(frozen=True)
class Summary:
    """Of one project: the mean over its tasks with several annotators, and how many these are."""

    dsc: float
    tasks: int


def replace(session: Session, project_id: int, found: Mapping[int, Agreement]) -> None:
    """Store the agreements of a project's tasks, by task, in place of the former ones."""
    session.execute(delete(models.Agreement).where(models.Agreement.project_id == project_id))
    session.add_all(
        models.Agreement(project_id=project_id, task_id=task_id, annotators=one.annotators, dsc=one.dsc)
        for task_id, one in found.items()
    )
    session.flush()


def summaries(session: Session) -> dict[int, Summary]:
    """By project; one without a task that several people annotated is left out."""
    query = select(models.Agreement.project_id, func.avg(models.Agreement.dsc), func.count()).group_by(
        models.Agreement.project_id
    )
    return {project_id: Summary(float(mean), tasks) for project_id, mean, tasks in session.execute(query)}


def lowest(session: Session, project_id: int, count: int) -> dict[int, Agreement]:
    """The `count` tasks on which people agree least, by task, the worst first."""
    query = (
        select(models.Agreement)
        .where(models.Agreement.project_id == project_id)
        .order_by(models.Agreement.dsc, models.Agreement.task_id)
        .limit(count)
    )
    return {row.task_id: Agreement(row.annotators, row.dsc) for row in session.scalars(query)}
