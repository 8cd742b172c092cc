"""Drawing phantoms beside the start of Label Studio."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

from ml_backend.demo.collection import Collection, draw_phantoms

POLL_SECONDS = 0.2


class _StoppedError(Exception):
    """Nobody waits for the drawing any more."""


class Drawing:
    """A collection of phantoms in the making, in a thread that ends when the `with` block does."""

    def __init__(self, directory: Path, tasks: int, test: int, seed: int) -> None:
        self._arguments = (directory, tasks, test, seed)
        self._thread = threading.Thread(target=self._draw, name="drawing")
        self._stop = threading.Event()
        self._done = (0, tasks + test)
        self._collection: Collection | None = None
        self._failure: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def wait(self, progress: Callable[[int, int], None]) -> Collection:
        """The collection once it is drawn; `progress` is told (drawn, of how many) meanwhile.

        Raises what the drawing raised.
        """
        while self._thread.is_alive():
            progress(*self._done)
            self._thread.join(POLL_SECONDS)
        if self._collection is None:
            assert self._failure is not None
            raise self._failure
        return self._collection

    def _draw(self) -> None:
        try:
            self._collection = draw_phantoms(*self._arguments, progress=self._note)
        except Exception as error:  # noqa: BLE001 - raised again in the thread that waits
            self._failure = error

    def _note(self, done: int, total: int) -> None:
        self._done = (done, total)
        if self._stop.is_set():
            raise _StoppedError
