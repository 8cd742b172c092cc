"""The result type of a comparison."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Discrepancy:
    """One difference that a comparison found.

    Attributes:
        project_id: the project concerned; None for the queue.
        sentence: what was found, and what was done about it.
        repaired: whether it was repaired, or the repair was requested.
    """

    project_id: int | None
    sentence: str
    repaired: bool = True

    def __str__(self) -> str:
        place = "queue" if self.project_id is None else f"project {self.project_id}"
        return f"{place}: {self.sentence}"
