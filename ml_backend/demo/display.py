"""What a demo prints: one live line on a terminal, otherwise a line from time to time."""

from __future__ import annotations

import math
import time

from rich.console import Console, RenderableType
from rich.status import Status
from rich.text import Text

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
