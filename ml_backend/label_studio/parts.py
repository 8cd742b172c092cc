"""What connecting a project works with: the parts that Label Studio needs, and what was done about each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .client import LabelStudio

State = Literal["created", "changed", "unchanged"]


class CannotConnectError(Exception):
    """The project cannot be connected; one sentence says what to do."""


@dataclass(frozen=True)
class Item:
    """One thing that Label Studio needs, and what was done about it."""

    name: str
    state: State
    detail: str


@dataclass
class Work:
    """A connection in the making."""

    client: LabelStudio
    backend_url: str
    basic_auth: tuple[str, str] | None
    items: list[Item] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def done(self, name: str, state: State, detail: str) -> None:
        """Note what was done about one part."""
        self.items.append(Item(name, state, detail))


def differs(present: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether something of `wanted` is not so in `present`."""
    return any(present.get(key) != value for key, value in wanted.items())
