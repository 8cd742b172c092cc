"""Images that annotators are correcting, kept ready between clicks: a bounded cache, shared by threads."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from model.interaction.corrector import OpenImage

MOST_BYTES = 256 * 1024 * 1024
"""Most bytes that are kept; a radiograph of 2000×1500 pixels takes about 5 MB."""

Key = tuple[str, str]
"""(hash of the weights, hash of the image's address): another version prepares an image anew."""


class OpenImages:
    """Least-recently-used cache of at most `most` bytes; the newest image is kept, whatever its size."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._most = most
        self._kept: OrderedDict[Key, OpenImage] = OrderedDict()
        self._lock = threading.Lock()
        self._opening: dict[Key, threading.Lock] = {}

    def get(self, key: Key, make: Callable[[], OpenImage]) -> OpenImage:
        """The image under a key, opened with `make` if it is not kept; callers with the same key wait."""
        with self._lock:
            opening = self._opening.setdefault(key, threading.Lock())
        try:
            with opening:
                with self._lock:
                    kept = self._kept.get(key)
                    if kept is not None:
                        self._kept.move_to_end(key)
                        return kept
                image = make()
                with self._lock:
                    self._kept[key] = image
                    self._make_room()
                return image
        finally:
            with self._lock:
                if not opening.locked():
                    self._opening.pop(key, None)

    def kept(self) -> list[Key]:
        """The keys of the images that are kept, the least recently used first."""
        with self._lock:
            return list(self._kept)

    def _make_room(self) -> None:
        sizes = {key: image.bytes for key, image in self._kept.items()}
        while len(self._kept) > 1 and sum(sizes[key] for key in self._kept) > self._most:
            self._kept.popitem(last=False)
