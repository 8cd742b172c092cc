"""The chosen values of a JSON text that is read as a stream; everything else is passed over."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias, Union

import ijson  # type: ignore[import-untyped]
from ijson.common import JSONError  # type: ignore[import-untyped]

Wanted: TypeAlias = Union["Everything", "Scalar", Mapping[str, "Wanted"]]
"""What is kept of a value. A mapping chooses the keys of an object, or of each object in a list; `ANY` is
every key that it does not name."""

ANY = "*"
_STARTS = {"start_map", "start_array"}
_ENDS = {"end_map", "end_array"}
_MOST_DEPTH = 1000
_COST = 200
"""Bytes that a value takes in its list or object, itself included unless it is a long text."""
_SKIPPED: Any = object()


class Everything:
    """Keep the whole value."""


class Scalar:
    """Keep the value if it is no object and no list; of these, keep an empty one of the same type."""


class SelectionError(ValueError):
    """The text is not JSON, or ends early."""


class FullError(ValueError):
    """What was chosen takes more memory than allowed."""


@dataclass
class Selection:
    """Reads a text in pieces and keeps what is wanted.

    Attributes:
        wanted: what is kept of the value at the top.
        most_bytes: of what is kept, as Python objects; `FullError` beyond it.
        most_token: bytes of the longest text that is one value; `FullError` beyond it.
        elements_until: bytes of the text after which no elements of lists are kept.
        value: what is kept, once `read` has returned or raised.
        left_out: whether an element was not kept because it came after `elements_until`.
    """

    wanted: Wanted
    most_bytes: int
    most_token: int
    elements_until: int | None = None
    value: Any = None
    left_out: bool = False
    kept: int = field(default=0, init=False)
    _place: int = field(default=0, init=False)
    _stack: list[tuple[Any, Wanted]] = field(default_factory=list, init=False)
    _key: str = field(default="", init=False)
    _skipping: int = field(default=0, init=False)

    def read(self, chunks: Iterable[bytes]) -> Any:
        """The chosen values.

        Raises:
            SelectionError: the text is not JSON or ends early; `value` has what came before.
            FullError: it takes too much memory; likewise.
        """
        found: Any = ijson.sendable_list()
        parser = ijson.basic_parse_coro(found)
        silent = 0
        try:
            for chunk in chunks:
                self._place += len(chunk)
                parser.send(chunk)
                silent = 0 if found else silent + len(chunk)
                if silent > self.most_token:
                    raise FullError
                self._take(found)
                del found[:]
            parser.close()
            self._take(found)
        except (JSONError, UnicodeDecodeError, SystemError, RecursionError) as error:
            # SystemError: a number of thousands of digits, which Python refuses within the parser.
            # UnicodeDecodeError: half a surrogate pair.
            raise SelectionError(str(error)) from error
        return self.value

    def _take(self, events: Iterable[tuple[str, Any]]) -> None:
        """Go on with these events; those that are passed over, which may be millions, take no call."""
        skipping = self._skipping
        for event, value in events:
            if skipping:
                if event in _STARTS:
                    skipping += 1
                    if skipping > _MOST_DEPTH:
                        raise SelectionError("The text is nested too deeply.")
                elif event in _ENDS:
                    skipping -= 1
            elif event == "map_key":
                self._key = value
            elif event in _ENDS:
                self._stack.pop()
            else:
                self._skipping = 0
                self._add(event, value)
                skipping = self._skipping
        self._skipping = skipping

    def _add(self, event: str, value: Any) -> None:
        """Put a value where it belongs, or pass over it."""
        starts = event in _STARTS
        if self._is_past():
            # The rest of the list is passed over at once: its end ends the skipping.
            self._stack.pop()
            self.left_out, self._skipping = True, 1 + starts
            return
        wanted = self._wanted_here()
        if wanted is None:
            self._skipping = int(starts)
            return
        made: Any = {} if event == "start_map" else [] if starts else value
        self.kept += _COST + (sys.getsizeof(made) if isinstance(made, str) else 0)
        if self.kept > self.most_bytes:
            raise FullError
        self._put(made)
        if starts and isinstance(wanted, Scalar):
            self._skipping = 1
        elif starts:
            self._stack.append((made, wanted))

    def _is_past(self) -> bool:
        """Whether an element of a list comes too late."""
        too_late = self.elements_until is not None and self._place > self.elements_until
        return too_late and bool(self._stack) and isinstance(self._stack[-1][0], list)

    def _wanted_here(self) -> Wanted | None:
        if not self._stack:
            return self.wanted
        parent, wanted = self._stack[-1]
        if isinstance(parent, dict) and isinstance(wanted, Mapping):
            return wanted.get(self._key, wanted.get(ANY))
        return wanted

    def _put(self, made: Any) -> None:
        if not self._stack:
            self.value = made
            return
        parent = self._stack[-1][0]
        if isinstance(parent, list):
            parent.append(made)
        else:
            parent[self._key] = made
