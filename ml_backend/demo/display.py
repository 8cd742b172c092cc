"""What a demo says while it works: a moving line on a terminal, now and then a line elsewhere."""

from __future__ import annotations

import math
import time

from rich.console import Console, RenderableType
from rich.status import Status
from rich.text import Text

QUIET_SECONDS = 15.0
"""Without a terminal, how long nothing is said while a stage goes on."""


class Display:
    """Stages with their details, the time so far, and about how long it will take.

    On a terminal one line moves, such as `1:12, about 4 min left   round 1 of 2: training   step 85, 31 s`.
    Elsewhere each stage gets a line when it begins, and one more every quarter of a minute.
    """

    def __init__(self, console: Console) -> None:
        self.console = console
        self._began = time.monotonic()
        self._end: float | None = None
        self._stage = self._detail = ""
        self._spoken = 0.0
        self._status: Status | None = None

    def stage(self, stage: str, detail: str = "") -> None:
        """Say what is being done now, with a detail that may change all the time."""
        begins, self._stage, self._detail = stage != self._stage, stage, detail
        if self.console.is_terminal:
            if self._status is None:
                self._status = self.console.status(self)
                self._status.start()
        elif begins or time.monotonic() - self._spoken >= QUIET_SECONDS:
            self._spoken = time.monotonic()
            line = f"[{self._elapsed():>5}] {stage}" + (f": {detail}" if detail else "")
            self.say(line, wrap=False)

    def expect(self, seconds: float) -> None:
        """Take it that everything will be done in so many seconds."""
        self._end = time.monotonic() + seconds

    def say(self, *what: RenderableType, wrap: bool = True) -> None:
        """Print something that stays; `wrap=False` leaves long lines to the terminal."""
        for each in what:
            self.console.print(each, markup=False, soft_wrap=not wrap)

    def rest(self) -> None:
        """Stop the moving line; the next stage starts it again."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def __rich__(self) -> Text:
        """The moving line as it stands now; asked for at each turn of the spinner."""
        # The clock comes first, as a narrow terminal cuts the end off.
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
