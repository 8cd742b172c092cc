"""Drafts: the newest weights of a running training, which draw masks until a version takes their place."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from ml_backend.store import versions
from ml_backend.store.models import Draft, Version, now


def current(session: Session, project_id: int) -> Draft | None:
    """The project's draft, if it is newer than the published version; else None."""
    draft = session.get(Draft, project_id)
    published = versions.published(session, project_id)
    if draft is None or (published is not None and published.created_at >= draft.created_at):
        return None
    return draft


def replace(
    session: Session, project_id: int, weights_hash: str, labels: Sequence[str], step: int, learned: int
) -> list[str]:
    """Make these weights the project's draft; needs a writing session.

    Args:
        session: a writing session.
        project_id: the project.
        weights_hash, labels, step, learned: as in `Draft`.

    Returns the hashes of weights that nothing needs any more. The former draft stays for now, since a process
    may be loading it.
    """
    draft = session.get(Draft, project_id)
    if draft is None:
        draft = Draft(project_id=project_id, weights_hash=weights_hash)
        session.add(draft)
    surplus = [draft.former_hash] if draft.former_hash is not None else []
    if draft.weights_hash != weights_hash:
        draft.former_hash = draft.weights_hash
    draft.weights_hash, draft.labels, draft.step, draft.learned = weights_hash, list(labels), step, learned
    draft.created_at, draft.drawn_at = now(), None
    session.flush()
    return _unused(session, {*surplus} - {weights_hash, draft.former_hash})


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


def hashes(session: Session, project_id: int) -> set[str]:
    """Hashes of the weights that the project's draft keeps."""
    draft = session.get(Draft, project_id)
    return set() if draft is None else {one for one in (draft.weights_hash, draft.former_hash) if one}


def _unused(session: Session, candidates: set[str] | set[str | None]) -> list[str]:
    """Those of the hashes that belong to no version and to no draft."""
    found = {one for one in candidates if one is not None}
    used = set(session.scalars(select(Version.weights_hash).where(Version.weights_hash.in_(found))))
    for column in (Draft.weights_hash, Draft.former_hash):
        used |= set(session.scalars(select(column).where(column.in_(found))))
    return sorted(found - used)
