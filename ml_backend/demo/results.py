"""The results of a demo, and its JSON report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

TOP = 10
"""Tasks of an order that the table and the report list."""


class ReportError(ValueError):
    """The report cannot be written; the message says why."""


@dataclass(frozen=True)
class TopTask:
    """One of the tasks at the top of Label Studio's list; Dice values are in [0, 1], None if unknown.

    Attributes:
        task: Label Studio's task id.
        image: stem of the image file.
        before: position in the previous round's order, counted from 1; None if it was not in it.
        l_dsc, m_dsc: Dice of the lower and of the middle mask against the final one.
        score: the score by which Label Studio orders.
        r_dsc: Dice of the predicted mask in Label Studio against the true one.
    """

    task: int
    image: str
    before: int | None
    l_dsc: float | None
    m_dsc: float | None
    score: float | None
    r_dsc: float | None


@dataclass(frozen=True)
class RoundResults:
    """The state after one round; round 0 is the seeded random order before any label.

    Attributes:
        round: number of the round.
        labels: annotated tasks so far.
        version: name of the version that orders the tasks now.
        published: False if this round's version was clearly worse, so that the previous one still serves.
        validation_dsc: DSC in [0, 1] on the project's fixed validation images; None if there is none.
        test_dsc: DSC in [0, 1] on the test images; None before the first training.
        seconds: duration of the stages train, score and publish.
        top: the first ten tasks.
        order: ids of all unlabelled tasks in the order in which Label Studio serves them.
        scores: task id → score as Label Studio shows it.
        next_task: the task that Label Studio would serve now; None if all are labelled.
        steps: training steps of the round.
    """

    round: int
    labels: int
    version: str
    published: bool
    validation_dsc: float | None
    test_dsc: float | None
    seconds: dict[str, float]
    top: list[TopTask]
    order: list[int]
    scores: dict[int, float]
    next_task: int | None
    steps: int


def check_report(path: Path) -> None:
    """Raise ReportError if no report can be written to `path`; to be called before the rounds."""
    if not path.parent.is_dir():
        raise ReportError(
            f"There is no folder {path.parent} for the report; create it, or give another --report."
        )
    draft = _draft(path)
    try:
        draft.touch()
        draft.unlink()
    except OSError as error:
        raise ReportError(f"No report can be written to {path}: {error.strerror}.") from error


def write_report(path: Path, settings: Mapping[str, Any], rounds: Sequence[RoundResults]) -> None:
    """Write the figures of all rounds so far as JSON; the file is replaced atomically."""
    draft = _draft(path)
    draft.write_text(
        json.dumps({"settings": settings, "rounds": [asdict(r) for r in rounds]}, indent=2) + "\n"
    )
    draft.replace(path)


def _draft(path: Path) -> Path:
    return path.with_name(f".{path.name}.part")
