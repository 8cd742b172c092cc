"""The name of this installation: all processes that share the database have the same one."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from ml_backend.store.models import Installation


def name(session: Session) -> str:
    """The installation's random name, 32 hexadecimal digits, made with the tables. It is no secret."""
    return session.scalars(select(Installation.id)).one()
