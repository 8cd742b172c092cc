"""What a demo shows and writes after each round."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True)
class TopTask:
    """One of the tasks that Label Studio now puts first; all Dice values in [0, 1], None where unknown.

    Attributes:
        task: Label Studio's task id.
        image: stem of the image file.
        l_dsc, m_dsc: agreement of the lower (middle) mask with the final one.
        score: what Label Studio orders by.
        r_dsc: Dice of the predicted mask, as Label Studio holds it, against the true one.
    """

    task: int
    image: str
    l_dsc: float | None
    m_dsc: float | None
    score: float | None
    r_dsc: float | None


@dataclass(frozen=True)
class Round:
    """The state after one round of the loop; round 0 is the seeded random order before any label.

    Attributes:
        labels: annotated tasks so far.
        version: name of the version that orders the tasks now.
        published: False if this round's version was clearly worse and the one before it still serves.
        validation_dsc: on the project's fixed validation images; test_dsc: on images never labelled.
        seconds: time of the stages train, score and publish.
        top: the ten tasks that come first.
        order: ids of all unlabelled tasks as Label Studio serves them.
        scores: task id → score as Label Studio shows it.
        next_task: the task that Label Studio would hand to an annotator now.
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


def print_round(console: Console, result: Round) -> None:
    """One table: the round's figures in the title, the ten most informative tasks as rows."""
    stages = "  ".join(f"{name} {value:.1f} s" for name, value in result.seconds.items())
    serving = result.version if result.published else f"{result.version} (kept; the challenger was worse)"
    table = Table(
        title=f"Round {result.round}: {result.labels} labels, version {serving}",
        title_justify="left",
        caption=(
            f"validation DSC {_number(result.validation_dsc)}   "
            f"test DSC {_number(result.test_dsc)}   {stages}"
        ),
        caption_justify="left",
    )
    table.add_column("next", justify="right")
    table.add_column("task", justify="right")
    table.add_column("image")
    for name in ("L-DSC", "M-DSC", "score", "R-DSC"):
        table.add_column(name, justify="right")
    for place, top in enumerate(result.top, start=1):
        figures = (top.l_dsc, top.m_dsc, top.score, top.r_dsc)
        table.add_row(str(place), str(top.task), top.image, *(_number(figure) for figure in figures))
    console.print(table)


def write_report(path: Path, settings: dict[str, Any], rounds: list[Round]) -> None:
    """Write the figures of all rounds so far as JSON; the file is replaced whole."""
    draft = path.with_name(f".{path.name}.part")
    draft.write_text(
        json.dumps({"settings": settings, "rounds": [asdict(r) for r in rounds]}, indent=2) + "\n"
    )
    draft.replace(path)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
