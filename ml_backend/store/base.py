"""What all tables have in common: their base class, and types that both databases keep alike."""

from __future__ import annotations

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import JSON, DateTime, Dialect, Enum, Text, TypeDecorator
from sqlalchemy.orm import DeclarativeBase

from ml_backend.label_studio.decoding import storable
from ml_backend.store.states import (
    ActionKind,
    ActionState,
    Part,
    ProjectState,
    Provenance,
    RunState,
    ScoreState,
    VersionState,
)


def now() -> datetime:
    """The current time in UTC."""
    return datetime.now(UTC)


class UtcDateTime(TypeDecorator[datetime]):
    """A time in UTC; SQLite does not store time zones, so UTC is added when reading."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Convert to UTC; raises ValueError for a time without a zone."""
        if value is not None and value.tzinfo is None:
            raise ValueError("Times must have a time zone.")
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002
        """Read as UTC."""
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class Words(TypeDecorator[str]):
    """A text that may quote anything: what PostgreSQL and UTF-8 refuse of it is replaced."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002
        """Replace NUL characters and lone surrogates."""
        return None if value is None else storable(value)


def _enum(states: type[StrEnum]) -> Enum:
    return Enum(
        states, native_enum=False, length=16, values_callable=lambda kind: [item.value for item in kind]
    )


class Base(DeclarativeBase):
    """Base class of all tables."""

    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy reads a plain class attribute
        datetime: UtcDateTime,
        ProjectState: _enum(ProjectState),
        RunState: _enum(RunState),
        VersionState: _enum(VersionState),
        ScoreState: _enum(ScoreState),
        Part: _enum(Part),
        Provenance: _enum(Provenance),
        ActionKind: _enum(ActionKind),
        ActionState: _enum(ActionState),
        dict[str, float]: JSON,
        dict[str, Any]: JSON,
        list[str]: JSON,
        list[int]: JSON,
        list[dict[str, Any]]: JSON,
    }
