"""What a demo prints: one live line on a terminal, otherwise a line from time to time; tables of rounds."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group, RenderableType
from rich.status import Status
from rich.table import Table
from rich.text import Text

from ml_backend.demo.results import RoundResults

QUIET_SECONDS = 15.0
"""Interval between two lines about the same stage if there is no terminal."""


class Display:
    """Shows the current stage with its detail, the elapsed time and an estimate of the time left.

    A terminal gets one live line such as `1:12, about 4 min left   round 1 of 2: training   step 85, 31 s`.
    Other outputs get a line when a stage begins, and another one every `QUIET_SECONDS`.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._began = time.monotonic()
        self._end: float | None = None
        self._stage = self._detail = ""
        self._printed_at = 0.0
        self._status: Status | None = None

    def stage(self, stage: str, detail: str = "") -> None:
        """Show the current stage, with a detail that may change often."""
        begins, self._stage, self._detail = stage != self._stage, stage, detail
        if self.console.is_terminal:
            if self._status is None:
                self._status = self.console.status(self)
                self._status.start()
        elif begins or time.monotonic() - self._printed_at >= QUIET_SECONDS:
            self._printed_at = time.monotonic()
            line = f"[{self._elapsed():>5}] {stage}" + (f": {detail}" if detail else "")
            self.print(line, wrap=False)

    def expect(self, seconds: float) -> None:
        """Set the estimate of the time left until everything is done."""
        self._end = time.monotonic() + seconds

    def print(self, *items: RenderableType, wrap: bool = True) -> None:
        """Print permanent output above the live line; `wrap=False` leaves long lines to the terminal."""
        for item in items:
            self.console.print(item, markup=False, soft_wrap=not wrap)

    def pause(self) -> None:
        """Stop the live line; the next stage starts it again."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def __rich__(self) -> Text:
        """The live line; rich calls this whenever it redraws the spinner."""
        # The clock comes first, as a narrow terminal truncates the end.
        parts = ((self._clock(), "dim"), (self._stage, "bold"), (self._detail, ""))
        line = Text("   ").join(Text(part, style) for part, style in parts if part)
        line.no_wrap, line.overflow = True, "ellipsis"
        return line

    def _clock(self) -> str:
        left = 0.0 if self._end is None else self._end - time.monotonic()
        return self._elapsed() + (f", about {math.ceil(left / 60)} min left" if left > 0 else "")

    def _elapsed(self) -> str:
        minutes, seconds = divmod(int(time.monotonic() - self._began), 60)
        return f"{minutes}:{seconds:02}"


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
