"""Drafts: the newest weights of a running training, which draw masks until a version takes their place."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from ml_backend.store import versions
from ml_backend.store.models import Draft, TrainingRun, Version, now


def current(session: Session, project_id: int) -> Draft | None:
    """The project's draft, if it is newer than the published version; else None."""
    draft = session.get(Draft, project_id)
    published = versions.published(session, project_id)
    if draft is None or (published is not None and published.created_at >= draft.created_at):
        return None
    return draft


def replace(session: Session, draft: Draft) -> list[str]:
    """Make `draft` its project's draft; needs a writing session.

    Returns the hashes of weights that nothing needs any more. The former draft's stay for now, since a
    process may be loading them.
    """
    former = session.get(Draft, draft.project_id)
    surplus: set[str | None] = set()
    if former is not None:
        surplus.add(former.former_hash)
        is_same = former.weights_hash == draft.weights_hash
        draft.former_hash = former.former_hash if is_same else former.weights_hash
    draft.created_at, draft.drawn_at = now(), None
    session.merge(draft)
    session.flush()
    return _unused(session, surplus - {draft.weights_hash, draft.former_hash})


def name_of(project_id: int, run_id: int) -> str:
    """Version name for masks drawn by a run's drafts, until the run produces a version: `p3-draft-7`."""
    return f"p{project_id}-draft-{run_id}"


def drawer(session: Session, version: str, project_id: int, run_id: int | None) -> str:
    """Source of a mask: its run's version or, if there is none yet, its drafts; `version` without a run.

    Args:
        session: any.
        version: name of the prediction's version.
        project_id: the project.
        run_id: the training whose draft drew the mask; None if the version did.
    """
    if run_id is None:
        return version
    run = session.get(TrainingRun, run_id)
    became = None if run is None or run.version_id is None else session.get(Version, run.version_id)
    return name_of(project_id, run_id) if became is None else became.name


def note_drawn(session: Session, project_id: int, weights_hash: str) -> None:
    """Record that the very next tasks are drawn by these weights, if they are still the draft's."""
    draft = session.get(Draft, project_id)
    if draft is not None and draft.weights_hash == weights_hash and draft.drawn_at is None:
        draft.drawn_at = now()


def drop(session: Session, project_id: int) -> list[str]:
    """Forget the project's draft; returns the hashes of weights that nothing needs any more."""
    draft = session.get(Draft, project_id)
    if draft is None:
        return []
    session.delete(draft)
    session.flush()
    return _unused(session, {draft.weights_hash, draft.former_hash})


def _unused(session: Session, candidates: set[str | None]) -> list[str]:
    """Those of the hashes that belong to no version and to no draft."""
    found = {one for one in candidates if one is not None}
    used = set(session.scalars(select(Version.weights_hash).where(Version.weights_hash.in_(found))))
    for column in (Draft.weights_hash, Draft.former_hash):
        used |= set(session.scalars(select(column).where(column.in_(found))))
    return sorted(found - used)
