"""The results of a demo: their tables, and the JSON report."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

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


def round_table(result: RoundResults, rounds: int) -> RenderableType:
    """The round's figures, and the first tasks in the order in which Label Studio serves them."""
    if result.round == 0:
        title = "Before the first label: a seeded random order, no masks"
        figures: RenderableType = Text(f"version  {result.version}")
    else:
        title = f"Round {result.round} of {rounds}: {result.labels} labels"
        figures = _figures(result)
    if not result.top:
        return Group("", Text(title, style="bold"), figures, "", "Every task is labelled.")
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for name in ("next", "before", "task"):
        table.add_column(name, justify="right")
    table.add_column("image", no_wrap=True, overflow="ellipsis")
    for name in ("L-DSC", "M-DSC", "score", "R-DSC"):
        table.add_column(name, justify="right", style="bold" if name == "score" else "")
    for position, top in enumerate(result.top, start=1):
        dice = (_dice(value) for value in (top.l_dsc, top.m_dsc, top.score, top.r_dsc))
        before = "–" if top.before is None else str(top.before)
        table.add_row(str(position), before, str(top.task), Text(top.image), *dice)
    return Group("", Text(title, style="bold"), figures, "", table)


def _figures(result: RoundResults) -> RenderableType:
    stages = [f"{name} {value:.1f}" for name, value in result.seconds.items()]
    if result.steps:
        stages[0] += f" ({result.steps} steps)"
    kept = "" if result.published else ", kept: the new one was clearly worse"
    grid = Table.grid(padding=(0, 2))
    grid.add_row("version", f"{result.version}{kept}")
    grid.add_row("DSC", f"validation {_dice(result.validation_dsc)}   test {_dice(result.test_dsc)}")
    grid.add_row("seconds", "   ".join(stages))
    return grid


def summary_table(results: Sequence[RoundResults]) -> RenderableType:
    """One line for each round that trained."""
    # Narrow padding, to fit into 80 columns with the longest version names.
    table = Table(box=SIMPLE_HEAD, pad_edge=False, show_edge=False, padding=(0, 1, 0, 0))
    for name in ("round", "labels"):
        table.add_column(name, justify="right")
    table.add_column("version", no_wrap=True, overflow="ellipsis")
    for name in ("validation", "test", "train", "score", "publish"):
        table.add_column(name, justify="right", style="bold" if name == "test" else "")
    for result in results:
        if result.round:
            seconds = (f"{value:.1f}" for value in result.seconds.values())
            dice = (_dice(result.validation_dsc), _dice(result.test_dsc))
            table.add_row(str(result.round), str(result.labels), result.version, *dice, *seconds)
    return Group(
        "", Text("All rounds: DSC of validation and test, seconds of the stages", style="bold"), "", table
    )


def _dice(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
