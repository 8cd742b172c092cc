"""What a look finds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One thing that was not as it should be.

    Attributes:
        project_id: the project it concerns; None where it concerns the service.
        sentence: what was found, and what was done about it.
        repaired: whether anything could be done.
    """

    project_id: int | None
    sentence: str
    repaired: bool = True

    def __str__(self) -> str:
        place = "queue" if self.project_id is None else f"project {self.project_id}"
        return f"{place}: {self.sentence}"
