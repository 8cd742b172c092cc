"""Examined labels: which of them somebody should look at again, and which a person has confirmed."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy import update as sql_update
from sqlalchemy.orm import Session, undefer

from ml_backend.store.models import ExaminedLabel


@dataclass(frozen=True)
class CurrentLabel:
    """An annotation as Label Studio has it now: a digest of its masks, and its time stamp."""

    digest: str
    changed_at: str


def record(session: Session, project_id: int, found: Iterable[ExaminedLabel]) -> None:
    """Store examined labels instead of what was known of them; unchanged confirmed ones stay confirmed."""
    for row in found:
        former = session.get(ExaminedLabel, (project_id, row.annotation_id))
        if former is not None:
            row.confirmed = former.confirmed and former.digest == row.digest
            session.delete(former)
            session.flush()
        session.add(row)
    session.flush()


def of_project(session: Session, project_id: int) -> list[ExaminedLabel]:
    """All examined labels of a project, without their pictures."""
    query = select(ExaminedLabel).where(ExaminedLabel.project_id == project_id)
    return list(session.scalars(query.order_by(ExaminedLabel.annotation_id)))


def examined_by(session: Session, project_id: int, present: Collection[str]) -> dict[int, str]:
    """Digests by annotation id of the labels that one of the networks `present` has examined."""
    query = select(ExaminedLabel.annotation_id, ExaminedLabel.digest).where(
        ExaminedLabel.project_id == project_id, ExaminedLabel.version.in_(present)
    )
    return {row.annotation_id: row.digest for row in session.execute(query)}


def keep_pictures(session: Session, project_id: int, most: int) -> None:
    """Delete the pictures of all but the `most` most suspicious labels, those that are listed first.

    One that is not listed now may be once other labels are examined, as they are judged among each other.
    """
    query = select(ExaminedLabel.annotation_id).where(
        ExaminedLabel.project_id == project_id, ExaminedLabel.confirmed.is_(False)
    )
    worst = query.order_by(ExaminedLabel.is_suspicious.desc(), ExaminedLabel.score.desc())
    kept = list(session.scalars(worst.limit(most)))
    session.execute(
        sql_update(ExaminedLabel)
        .where(ExaminedLabel.project_id == project_id, ExaminedLabel.annotation_id.not_in(kept))
        .values(picture=None)
        .execution_options(synchronize_session=False)
    )


def with_picture(session: Session, project_id: int, annotation_id: int) -> ExaminedLabel | None:
    """An examined label with its picture; None if it is unknown or has none."""
    query = select(ExaminedLabel).where(
        ExaminedLabel.project_id == project_id,
        ExaminedLabel.annotation_id == annotation_id,
        ExaminedLabel.picture.is_not(None),
    )
    return session.scalars(query.options(undefer(ExaminedLabel.picture))).one_or_none()


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


def listed(session: Session, project_id: int) -> list[ExaminedLabel]:
    """The labels to look at again, the most suspicious first."""
    query = (
        select(ExaminedLabel)
        .where(ExaminedLabel.project_id == project_id)
        .where(ExaminedLabel.is_suspicious.is_(True), ExaminedLabel.confirmed.is_(False))
        .order_by(ExaminedLabel.score.desc(), ExaminedLabel.annotation_id)
    )
    return list(session.scalars(query))


def pictured(session: Session, project_id: int) -> set[int]:
    """Ids of the annotations of which a picture is kept."""
    query = select(ExaminedLabel.annotation_id).where(
        ExaminedLabel.project_id == project_id, ExaminedLabel.picture.is_not(None)
    )
    return set(session.scalars(query))


def count(session: Session, project_id: int) -> int:
    """Number of labels that were examined and have not changed since; 0 if none ever was."""
    query = select(func.count()).select_from(ExaminedLabel).where(ExaminedLabel.project_id == project_id)
    return session.scalar(query) or 0
