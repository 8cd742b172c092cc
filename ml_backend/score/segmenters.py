"""Loaded segmenters: at most so many in memory, each loaded once, whoever asks for them at the same time."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.segmenter import Segmenter


class NoRoomError(RuntimeError):
    """All places were in use until the deadline."""


@dataclass
class _Place:
    """One place in memory: empty while its segmenter is being loaded."""

    segmenter: Segmenter | None = None
    users: int = 0


class Segmenters:
    """Up to `most` segmenters by the hash of their weights; threads share it.

    Who needs one borrows it. A borrowed one stays; of the others the least recently used one gives way before
    the new one is loaded, so that there are never more than `most`. If all are borrowed one waits. Loading
    one holds up only those who need that very one.
    """

    def __init__(self, most: int, load: Callable[[str], Segmenter]) -> None:
        """Load with `load`, which gets the hash and may raise."""
        self._most = most
        self._load = load
        self._places: OrderedDict[str, _Place] = OrderedDict()
        self._changed = threading.Condition()

    @contextmanager
    def borrow(self, weights_hash: str, deadline: float) -> Iterator[Segmenter]:
        """Give the segmenter of these weights for the time of the block.

        Raises:
            NoRoomError: by `deadline`, of `time.monotonic()`, no place has become free.
        """
        place = self._enter(weights_hash, deadline)
        try:
            if place.segmenter is None:
                place.segmenter = self._load(weights_hash)
                self._tell()
            yield place.segmenter
        finally:
            self._leave(weights_hash, place)

    def loaded(self) -> list[str]:
        """Hashes of the weights in memory, the least recently used first."""
        with self._changed:
            return list(self._places)

    def _enter(self, weights_hash: str, deadline: float) -> _Place:
        """The place of these weights, with its segmenter, or an empty one for the caller alone to fill."""
        with self._changed:
            while True:
                place = self._places.get(weights_hash)
                if place is not None and place.segmenter is not None:
                    break
                if place is None and self._make_room():
                    place = self._places[weights_hash] = _Place()
                    break
                if not self._changed.wait(deadline - time.monotonic()):
                    raise NoRoomError("All places for loaded versions are in use; raise LOADED_VERSIONS.")
            self._places.move_to_end(weights_hash)
            place.users += 1
            return place

    def _make_room(self) -> bool:
        if len(self._places) < self._most:
            return True
        idle = next((key for key, place in self._places.items() if not place.users), None)
        if idle is None:
            return False
        del self._places[idle]
        return True

    def _leave(self, weights_hash: str, place: _Place) -> None:
        with self._changed:
            place.users -= 1
            if place.segmenter is None:
                # Loading failed: the next who asks tries anew.
                del self._places[weights_hash]
            self._changed.notify_all()

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()
