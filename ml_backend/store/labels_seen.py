"""The labels that the last training saw, and the fixed split of the labelled tasks."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from ml_backend.store.models import LabelSeen, Part, Split


@dataclass(frozen=True)
class LabelDigest:
    """The task of an annotation, and a digest of its masks."""

    task_id: int
    digest: str


@dataclass(frozen=True)
class Difference:
    """Ids of annotations that are new, changed or deleted since the last training."""

    new: frozenset[int]
    changed: frozenset[int]
    deleted: frozenset[int]

    def __len__(self) -> int:
        return len(self.new) + len(self.changed) + len(self.deleted)


def difference(
    session: Session, project_id: int, labels: Mapping[int, LabelDigest], tasks: Collection[int] | None = None
) -> Difference:
    """Compare `labels`, by annotation id, with those the last training saw; only of `tasks` if given."""
    rows = session.scalars(select(LabelSeen).where(LabelSeen.project_id == project_id))
    seen = {
        row.annotation_id: LabelDigest(row.task_id, row.fingerprint)
        for row in rows
        if tasks is None or row.task_id in tasks
    }
    return Difference(
        new=frozenset(labels.keys() - seen.keys()),
        changed=frozenset(key for key in labels.keys() & seen.keys() if labels[key] != seen[key]),
        deleted=frozenset(seen.keys() - labels.keys()),
    )


def replace(session: Session, project_id: int, labels: Mapping[int, LabelDigest]) -> None:
    """Store `labels`, by annotation id, as those the last training saw."""
    session.execute(delete(LabelSeen).where(LabelSeen.project_id == project_id))
    session.add_all(
        LabelSeen(project_id=project_id, annotation_id=key, task_id=label.task_id, fingerprint=label.digest)
        for key, label in labels.items()
    )
    session.flush()


def labelled_tasks(session: Session, project_id: int, task_ids: Iterable[int] | None = None) -> set[int]:
    """Tasks that had labels at the last training; only those in `task_ids` if given."""
    query = select(LabelSeen.task_id).where(LabelSeen.project_id == project_id)
    if task_ids is not None:
        query = query.where(LabelSeen.task_id.in_(list(task_ids)))
    return set(session.scalars(query))


def count(session: Session, project_id: int) -> int:
    """Number of annotations that the last training saw."""
    query = select(func.count()).select_from(LabelSeen).where(LabelSeen.project_id == project_id)
    return session.scalar(query) or 0


def split(session: Session, project_id: int) -> dict[int, Part]:
    """The side of the split by task."""
    rows = session.scalars(select(Split).where(Split.project_id == project_id))
    return {row.task_id: row.part for row in rows}


def extend_split(session: Session, project_id: int, parts: Mapping[int, Part]) -> dict[int, Part]:
    """Store the sides of new tasks; existing sides do not change. Returns the whole split by task."""
    stored = split(session, project_id)
    fresh = {task_id: part for task_id, part in parts.items() if task_id not in stored}
    session.add_all(
        Split(project_id=project_id, task_id=task_id, part=part) for task_id, part in fresh.items()
    )
    session.flush()
    return {**stored, **fresh}
