"""Examined labels: which of them somebody should look at again, and which a person has confirmed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session, undefer

from ml_backend.store.models import ExaminedLabel


@dataclass(frozen=True)
class CurrentLabel:
    """An annotation as Label Studio has it now: a digest of its masks, and its time stamp."""

    digest: str
    changed_at: str


def replace(session: Session, project_id: int, found: Iterable[ExaminedLabel]) -> None:
    """Store what a new examination found instead of the last; unchanged confirmed labels stay confirmed."""
    confirmed = {
        (row.annotation_id, row.digest)
        for row in session.scalars(select(ExaminedLabel).where(ExaminedLabel.project_id == project_id))
        if row.confirmed
    }
    session.execute(delete(ExaminedLabel).where(ExaminedLabel.project_id == project_id))
    for row in found:
        row.confirmed = (row.annotation_id, row.digest) in confirmed
        session.add(row)
    session.flush()


def update(session: Session, project_id: int, current: Mapping[int, CurrentLabel]) -> None:
    """Note what people did since: forget gone and changed labels, confirm those submitted again unchanged.

    `current` is by annotation id.
    """
    for row in session.scalars(select(ExaminedLabel).where(ExaminedLabel.project_id == project_id)):
        now = current.get(row.annotation_id)
        if now is None or now.digest != row.digest:
            session.delete(row)
        elif now.changed_at != row.changed_at:
            row.confirmed, row.changed_at = True, now.changed_at
    session.flush()


def listed(session: Session, project_id: int, *, pictures: bool = False) -> list[ExaminedLabel]:
    """The labels to look at again, the most suspicious first; `pictures` loads `seen` as well."""
    query = (
        select(ExaminedLabel)
        .where(ExaminedLabel.project_id == project_id)
        .where(ExaminedLabel.is_suspicious.is_(True), ExaminedLabel.confirmed.is_(False))
        .order_by(ExaminedLabel.score.desc(), ExaminedLabel.annotation_id)
    )
    return list(session.scalars(query.options(undefer(ExaminedLabel.seen)) if pictures else query))


def count(session: Session, project_id: int) -> int:
    """Number of labels that were examined and have not changed since; 0 if none ever was."""
    query = select(func.count()).select_from(ExaminedLabel).where(ExaminedLabel.project_id == project_id)
    return session.scalar(query) or 0
