"""What must hold after every fault: no label is lost, no order is mixed, and work went on by itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Event, Thread

import pytest

from ml_backend.label_studio.errors import LabelStudioError
from ml_backend.store.models import Version
from tests.loop.board import Board
from tests.measured import MEASURED

Record = Callable[[str, object], None]


def check(board: Board, version: Version) -> None:
    """Every label is learned; Label Studio orders by one version, of which each task has one prediction."""
    client = board.service.label_studio
    labelled = [task.id for task in client.tasks(board.id, unlabelled=False)]
    assert version.labels_used == len(labelled), "labels lost"
    assert board.changes() == 0
    assert board.shown_version() == version.name
    assert board.duplicates(version.name) == []
    rows = board.scores(version)
    for task, score in board.order():
        assert score == pytest.approx(rows[task].score, abs=1e-6), "a mixed order"


def learned(board: Board) -> int:
    """How many labels the published version has learned."""
    version = board.published()
    return 0 if version is None else version.labels_used


@contextmanager
def watched(board: Board) -> Iterator[list[str]]:
    """Look at the order until the end of the block; yields the looks that found a mixed one.

    An order is mixed if a score that Label Studio shows is not that of the version by which it orders.
    """
    mixed: list[str] = []
    ended = Event()
    known: dict[str, dict[int, float | None]] = {}

    def look() -> None:
        while not ended.wait(1.0):
            try:
                before = board.shown_version()
                order = board.order()
                after = board.shown_version()
            except LabelStudioError:
                continue
            if before != after:
                continue
            version = next((one for one in board.versions() if one.name == before), None)
            if version is None:
                continue
            if before not in known:
                known[before] = {task: row.score for task, row in board.scores(version).items()}
            for task, score in order:
                ours = known[before].get(task)
                if ours is not None and score != pytest.approx(ours, abs=1e-6):
                    mixed.append(f"task {task} shows {score}, but {before} scored {ours}")

    watcher = Thread(target=look, daemon=True)
    watcher.start()
    try:
        yield mixed
    finally:
        ended.set()
        watcher.join()


class Stopwatch:
    """Seconds from the end of a fault until the work was done, told after the tests."""

    def __init__(self, record: Record, fault: str) -> None:
        self._record, self._fault, self._began = record, fault, time.monotonic()

    def over(self) -> None:
        """The fault is over."""
        self._began = time.monotonic()

    def done(self, board: Board, mixed: list[str]) -> None:
        """The work is done."""
        seconds = time.monotonic() - self._began
        text = f"{self._fault}: back to work after {seconds:.1f} s, labels lost 0, mixed orders {len(mixed)}"
        self._record(MEASURED, text)
        assert mixed == []
        assert board.changes() == 0
