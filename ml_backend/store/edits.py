"""How annotations came to be, compared with the masks on display; and who drew the masks of open pages."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from statistics import median

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from ml_backend.store.models import Edit, FormerMask, KeptPrediction, now
from ml_backend.store.states import Provenance

KEPT_PREDICTIONS = timedelta(days=3)
"""Longer than a prediction is kept for open pages."""

FORMER_MASKS = 5
"""Most masks of a prediction that are kept after it was drawn again."""


@dataclass(frozen=True)
class Help:
    """How much the masks of a version helped its annotators.

    Attributes:
        provenances: number of annotations by provenance.
        dsc: median Dice of the shown and the submitted mask over the annotations made from a mask, in [0, 1];
            None if there are none.
        per_label: the same by label.
        added_path: median added path length over the same annotations, in pixels.
        lead_time: median time over all annotations that have one, in seconds.
    """

    provenances: Mapping[Provenance, int]
    dsc: float | None = None
    per_label: Mapping[str, float] = field(default_factory=dict)
    added_path: float | None = None
    lead_time: float | None = None

    @property
    def shown(self) -> int:
        """Number of annotations made from a mask on display."""
        return self.provenances[Provenance.EDITED] + self.provenances[Provenance.ACCEPTED]

    @property
    def accepted_share(self) -> float | None:
        """Share of the annotations made from a mask that accept it unchanged; None if there are none."""
        return self.provenances[Provenance.ACCEPTED] / self.shown if self.shown else None


def of_project(session: Session, project_id: int) -> dict[int, Edit]:
    """The edits of a project by annotation id."""
    rows = session.scalars(select(Edit).where(Edit.project_id == project_id))
    return {row.annotation_id: row for row in rows}


def extent(session: Session, project_id: int) -> tuple[int, int | None]:
    """Number of a project's edits and the latest annotation among them; by which a change is noticed."""
    query = select(func.count(), func.max(Edit.annotation_id)).where(Edit.project_id == project_id)
    count, latest = session.execute(query).one()
    return count, latest


def store(session: Session, project_id: int, found: Iterable[Edit], existing: Collection[int]) -> None:
    """Store or replace edits, and delete those of annotations that no longer exist.

    Args:
        session: a writing session.
        project_id: the project.
        found: edits of new and changed annotations.
        existing: ids of all annotations of the project.
    """
    gone = of_project(session, project_id).keys() - set(existing)
    session.execute(delete(Edit).where(Edit.project_id == project_id, Edit.annotation_id.in_(gone)))
    for edit in found:
        session.merge(edit)
    session.flush()


def helps(session: Session, project_id: int) -> dict[str | None, Help]:
    """How much each version's masks helped, by version name; None for annotations made without a mask."""
    by_version: dict[str | None, list[Edit]] = {}
    rows = session.scalars(select(Edit).where(Edit.project_id == project_id).order_by(Edit.annotation_id))
    for row in rows:
        by_version.setdefault(row.version, []).append(row)
    return {version: _help(several) for version, several in by_version.items()}


def keep(session: Session, project_id: int, prediction_id: int, version: str) -> None:
    """Record which version drew a prediction that is renamed, and forget the predictions kept long ago."""
    long_ago = now() - KEPT_PREDICTIONS
    session.execute(
        delete(KeptPrediction).where(
            KeptPrediction.project_id == project_id, KeptPrediction.kept_at < long_ago
        )
    )
    session.merge(KeptPrediction(project_id=project_id, prediction_id=prediction_id, version=version))


def kept(session: Session, project_id: int) -> dict[int, str]:
    """The versions that drew the predictions kept for open pages, by prediction id."""
    rows = session.scalars(select(KeptPrediction).where(KeptPrediction.project_id == project_id))
    return {row.prediction_id: row.version for row in rows}


def note_former(session: Session, mask: FormerMask) -> None:
    """Record the mask of a prediction that is about to be drawn again.

    Forgets those of long ago, and all but the latest `FORMER_MASKS` of this prediction.
    """
    long_ago = now() - KEPT_PREDICTIONS
    session.execute(
        delete(FormerMask).where(FormerMask.project_id == mask.project_id, FormerMask.replaced_at < long_ago)
    )
    for surplus in former_masks(session, mask.prediction_id)[FORMER_MASKS - 1 :]:
        session.delete(surplus)
    session.add(mask)


def forget_former(session: Session, ids: Iterable[int]) -> None:
    """Forget these former masks, which no page has shown."""
    session.execute(delete(FormerMask).where(FormerMask.id.in_(list(ids))))


def rename(session: Session, project_id: int, former: str, version: str) -> None:
    """Attribute the edits of one version's masks to another."""
    session.execute(
        update(Edit).where(Edit.project_id == project_id, Edit.version == former).values(version=version)
    )


def former_masks(session: Session, prediction_id: int) -> list[FormerMask]:
    """The masks that a prediction had before, the latest first."""
    query = select(FormerMask).where(FormerMask.prediction_id == prediction_id)
    return list(session.scalars(query.order_by(FormerMask.id.desc())))


def was_redrawn_since(session: Session, project_id: int, moment: datetime) -> bool:
    """Whether a prediction of the project was drawn again since then."""
    query = select(FormerMask.id).where(FormerMask.project_id == project_id, FormerMask.replaced_at >= moment)
    return session.scalar(query.limit(1)) is not None


def _help(rows: Sequence[Edit]) -> Help:
    counted = {each: sum(row.provenance is each for row in rows) for each in Provenance}
    per_label: dict[str, list[float]] = {}
    for row in rows:
        for label, dsc in row.per_label.items():
            per_label.setdefault(label, []).append(dsc)
    return Help(
        counted,
        dsc=_median(row.dsc for row in rows),
        per_label={label: median(values) for label, values in sorted(per_label.items())},
        added_path=_median(row.added_path for row in rows),
        lead_time=_median(row.lead_time for row in rows),
    )


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(median(known)) if known else None
