"""A bounded cache of loaded segmenters, shared by threads; each segmenter is loaded once."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_backend.items import OutsideFault

if TYPE_CHECKING:
    from model.segmenter import Segmenter


class NoRoomError(OutsideFault, RuntimeError):
    """All cached segmenters were in use until the deadline."""


@dataclass
class _Slot:
    """One slot of the cache: empty while its segmenter is being loaded."""

    segmenter: Segmenter | None = None
    users: int = 0


class Segmenters:
    """Least-recently-used cache of at most `most` segmenters, by the hash of their weights; thread-safe.

    Callers borrow a segmenter. Borrowed segmenters are never evicted; the least recently used of the others
    is evicted before a new one is loaded, so there are never more than `most`. If all are borrowed, the
    caller waits. Loading a segmenter blocks only callers that need the same one.
    """

    def __init__(self, most: int, load: Callable[[str], Segmenter]) -> None:
        """Load segmenters with `load`, which is called with the hash and may raise."""
        self._most = most
        self._load = load
        self._slots: OrderedDict[str, _Slot] = OrderedDict()
        self._changed = threading.Condition()

    @contextmanager
    def borrow(self, weights_hash: str, deadline: float) -> Iterator[Segmenter]:
        """Borrow the segmenter of these weights for the duration of the block.

        Raises:
            NoRoomError: no slot became free by `deadline` (on the clock of `time.monotonic()`).
        """
        slot = self._enter(weights_hash, deadline)
        try:
            if slot.segmenter is None:
                slot.segmenter = self._load(weights_hash)
                self._notify()
            yield slot.segmenter
        finally:
            self._leave(weights_hash, slot)

    def loaded(self) -> list[str]:
        """Hashes of the cached weights, the least recently used first."""
        with self._changed:
            return list(self._slots)

    def _enter(self, weights_hash: str, deadline: float) -> _Slot:
        """The slot of these weights: loaded, or empty and reserved for this caller to load."""
        with self._changed:
            while True:
                slot = self._slots.get(weights_hash)
                if slot is not None and slot.segmenter is not None:
                    break
                if slot is None and self._make_room():
                    slot = self._slots[weights_hash] = _Slot()
                    break
                if not self._changed.wait(deadline - time.monotonic()):
                    raise NoRoomError("All loaded versions are in use; raise LOADED_VERSIONS.")
            self._slots.move_to_end(weights_hash)
            slot.users += 1
            return slot

    def _make_room(self) -> bool:
        if len(self._slots) < self._most:
            return True
        idle = next((key for key, slot in self._slots.items() if not slot.users), None)
        if idle is None:
            return False
        del self._slots[idle]
        return True

    def _leave(self, weights_hash: str, slot: _Slot) -> None:
        with self._changed:
            slot.users -= 1
            if slot.segmenter is None:
                # Loading failed; the next caller tries again.
                del self._slots[weights_hash]
            self._changed.notify_all()

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()
