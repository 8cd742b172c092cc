"""Request bodies: received to a bounded place on the disk, and read as a stream where they are large.

A body is a few times larger as Python objects than as text, and up to thirty times if somebody wants it to
be. So a body is held in memory only if it is small, and what is kept of a large one is chosen while it is
read, by one thread at a time.
"""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from flask import request
from werkzeug.exceptions import RequestEntityTooLarge

SMALL = 64 * 2**10
"""Bytes up to which bodies are parsed by any number of threads at once."""
IN_MEMORY = 4 * 2**20
"""Bytes up to which the text of a body is held in memory; more of it goes to an unnamed file."""
MOST_OBJECTS = 24 * 2**20
"""Bytes of Python objects up to which a body is parsed as a whole."""
_CHUNK = 2**16
_BEGINNING = 2 * 2**20
_LARGE_CHUNK = 2**20
"""A text that is one value is parsed anew with each piece: 80 MB took 36 s in small pieces, and take 1 s."""
_DRAINED = 64 * 2**20


@dataclass
class Body:
    """A received body.

    Attributes:
        file: its text, up to the limit.
        size: bytes of that text.
        complete: whether the limit was not reached.
    """

    file: IO[bytes]
    size: int
    complete: bool

    def chunks(self) -> Iterator[bytes]:
        """The text from its start, in pieces: small ones first, as readers may take only the beginning."""
        self.file.seek(0)
        while chunk := self.file.read(_CHUNK if self.file.tell() < _BEGINNING else _LARGE_CHUNK):
            yield chunk

    def text(self) -> bytes | None:
        """The whole text if its objects certainly take at most `MOST_OBJECTS` bytes; else None."""
        if not self.complete or self.size > IN_MEMORY:
            return None
        self.file.seek(0)
        text = self.file.read()
        return text if objects_of(text) <= MOST_OBJECTS else None


def objects_of(text: bytes) -> int:
    """An upper bound of the bytes of Python objects that JSON becomes: each object needs its character."""
    costs = {b"{": 240, b"[": 80, b",": 36, b":": 36, b'"': 30}
    return len(text) + sum(cost * text.count(character) for character, cost in costs.items())


@dataclass(frozen=True)
class Bodies:
    """Receives the bodies of one process.

    Attributes:
        folder: where the unnamed files of large bodies are.
        parsing: held while a body over `SMALL` is parsed, and up to `IN_MEMORY`.
        parsing_huge: held while a larger one is.
        predicting: held while a large call of /predict is read, and as long as it keeps much.
    """

    folder: Path
    parsing: threading.Lock = field(default_factory=threading.Lock)
    parsing_huge: threading.Lock = field(default_factory=threading.Lock)
    predicting: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def received(self, limit: int) -> Iterator[Body]:
        """The body of the current request, up to `limit` bytes; it is gone after the block.

        A longer one is read on for a while, so that its sender reads the answer instead of a broken
        connection.
        """
        request.max_content_length = None
        with tempfile.SpooledTemporaryFile(max_size=IN_MEMORY, dir=str(self.folder)) as file:
            size = 0
            while size < limit and (chunk := request.stream.read(min(_CHUNK, limit - size))):
                file.write(chunk)
                size += len(chunk)
            rest = request.stream.read(1) if size == limit else b""
            if rest:
                drain()
            yield Body(file, size, complete=not rest)

    def small(self, limit: int) -> bytes:
        """The body of the current request.

        Raises:
            RequestEntityTooLarge: it has more than `limit` bytes.
        """
        request.max_content_length = limit
        try:
            return request.get_data(cache=True)
        except RequestEntityTooLarge:
            request.max_content_length = None
            drain()
            raise RequestEntityTooLarge(f"The body of {request.path} may have {limit} bytes.") from None

    @contextmanager
    def turn(self, size: int) -> Iterator[None]:
        """Wait for the turn to parse a body of `size` bytes."""
        if size <= SMALL:
            yield
            return
        # Whoever sends something huge holds up only others who do.
        with self.parsing if size <= IN_MEMORY else self.parsing_huge:
            yield


def drain() -> None:
    """Read on in a body that is refused, for a bounded number of bytes."""
    left = _DRAINED
    while left > 0 and (chunk := request.stream.read(_CHUNK)):
        left -= len(chunk)
