"""Places for the images that a process has in memory, so that its memory does not grow with its threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from model.freed_memory import release_freed_memory

AT_ONCE = 2
"""Images in memory at once. The network draws one at a time, while another is decoded."""
LARGE = 8_000_000
"""Pixels from which an image is the only one of its kind: 20 megapixels take 180 MB until they are drawn."""


class Places:
    """Holds back threads that are about to read an image, while others have theirs in memory.

    Nobody waits for another's download: a place is taken when the file is there. Whoever waits for a place
    must hold nothing that the holder of a place may wait for.
    """

    def __init__(self, count: int = AT_ONCE) -> None:
        self._places = threading.BoundedSemaphore(count)
        self._large = threading.Lock()
        self._local = threading.local()

    @contextmanager
    def work(self) -> Iterator[None]:
        """The work on one image by this thread; what it takes in the block is given back at the end."""
        self._local.has_large = self._local.has_place = False
        with ExitStack() as stack:
            self._local.stack = stack
            try:
                yield
            finally:
                self._local.stack = None
                had_large = self._local.has_large
        if had_large:
            release_freed_memory()

    def take(self) -> None:
        """Take a place, unless this thread has one already, or works outside of `work`."""
        stack = getattr(self._local, "stack", None)
        if stack is not None and not self._local.has_place:
            stack.enter_context(self._places)
            self._local.has_place = True

    def take_for(self, pixels: int) -> None:
        """Take a place for an image of this size: a large one waits until no other large one is in memory."""
        self.take()
        stack = getattr(self._local, "stack", None)
        if stack is not None and pixels > LARGE and not self._local.has_large:
            stack.enter_context(self._large)
            self._local.has_large = True
