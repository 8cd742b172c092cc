"""Signals that end a demo: the first one interrupts, later ones leave the stopping alone."""

from __future__ import annotations

import signal
from types import FrameType, TracebackType
from typing import Self

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Ctrl-C, a polite kill, and a closed terminal."""


class Interrupted(BaseException):
    """A signal asked for the end; `number` says which one."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.number = number


class Signals:
    """While open, the first of `ENDING` raises `Interrupted`, so that the stopping itself runs to its end."""

    def __enter__(self) -> Self:
        self._former = {number: signal.signal(number, self._interrupt) for number in ENDING}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def ignore(self) -> None:
        """Pay no heed to further signals, for the time that stopping takes."""
        for number in ENDING:
            signal.signal(number, signal.SIG_IGN)

    def _interrupt(self, number: int, _frame: FrameType | None) -> None:
        self.ignore()
        raise Interrupted(number)
