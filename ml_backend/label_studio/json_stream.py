"""The elements of a JSON array that is still arriving, one by one."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterable, Iterator
from typing import Any

from ml_backend.label_studio.decoding import element_at

_SPACE = " \t\r\n"
_NUMBER = "0123456789+-.eE"


class JsonStreamError(ValueError):
    """The stream is not a JSON array, or ends early."""


def items(chunks: Iterable[bytes]) -> Iterator[Any]:
    """Yield the elements of a JSON array in UTF-8, holding the text of one element at a time.

    Every value is read that Label Studio stores and exports (`ml_backend.label_studio.decoding`); ijson, the
    usual library, fails on integers beyond 64 bits.

    Raises:
        JsonStreamError: the text is not an array, or it ends early.
    """
    text = _Text(chunks)
    text.expect("[")
    if text.next_is("]"):
        return
    while True:
        yield text.element()
        if text.next_is("]"):
            return
        text.expect(",")


class _Text:
    """Text that arrives in chunks, and the place in it up to which it was read."""

    def __init__(self, chunks: Iterable[bytes]) -> None:
        self._chunks = iter(chunks)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._buffer = ""
        self._place = 0

    def expect(self, character: str) -> None:
        """Skip a character after white space; JsonStreamError if another one comes."""
        if not self.next_is(character):
            raise JsonStreamError(f"There is no “{character}” where one must be.")

    def next_is(self, character: str) -> bool:
        """Whether this character comes after white space; it is skipped if so."""
        self._skip_space()
        found = self._buffer[self._place] == character
        self._place += found
        return found

    def element(self) -> Any:
        """The next element.

        It is tried whenever the text has doubled, so an element of any size costs at most twice its length.
        """
        self._skip_space()
        while True:
            try:
                found, end = element_at(self._buffer, self._place)
            except json.JSONDecodeError as error:
                self._grow(2 * (len(self._buffer) - self._place), error)
                continue
            is_open = isinstance(found, int | float) and not self._buffer[end:].strip(_NUMBER)
            if is_open and self._fill():  # the number may continue
                continue
            self._place = end
            return found

    def _skip_space(self) -> None:
        while True:
            while self._place < len(self._buffer) and self._buffer[self._place] in _SPACE:
                self._place += 1
            if self._place < len(self._buffer):
                return
            self._grow(1, None)

    def _grow(self, length: int, cause: Exception | None) -> None:
        """Drop what was read, and fetch text until at least `length` characters are left to read."""
        self._buffer, self._place = self._buffer[self._place :], 0
        parts, total = [self._buffer], len(self._buffer)
        before = total
        while total < length:
            part = self._next()
            if part is None:
                break
            parts.append(part)
            total += len(part)
        if total == before:
            raise JsonStreamError("The text ends early.") from cause
        self._buffer = "".join(parts)

    def _fill(self) -> bool:
        """Fetch the next chunk; False at the end."""
        part = self._next()
        self._buffer += part or ""
        return part is not None

    def _next(self) -> str | None:
        for chunk in self._chunks:
            if text := self._decoder.decode(chunk):
                return text
        return None
