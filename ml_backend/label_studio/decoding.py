"""JSON as Label Studio really sends it: anything that users, imports and other programs have stored.

What Python's decoder, PostgreSQL or an encoder would later fail on is replaced while reading, so that no code
after it meets a value that cannot be handled: integers of thousands of digits become floats, NUL characters
and lone surrogates become U+FFFD, and of a value nested about a thousand levels deep the first `MOST_DEPTH`
remain.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

MOST_DEPTH = 100
"""Levels of lists and objects that remain of a value that is nested too deeply for Python's decoder."""

MOST_DIGITS = 1000
"""Longer integers become floats; Python refuses those with more than 4300 digits."""

_SPACE = " \t\r\n"

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

_TOKENS = re.compile(r'"(?:[^"\\]|\\.)*+"|[\[\]{}]', re.DOTALL)
_ESCAPES = re.compile(
    r"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2}|u0000)|.)",
    re.DOTALL,
)
_MAY_NEED_REPAIR = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_UNSTORABLE = re.compile("[\0\ud800-\udfff]")


def decoded(body: bytes | str) -> Any:
    """The value of a JSON text.

    Raises:
        ValueError: it is not JSON.
    """
    text = body.decode("utf-8", "replace") if isinstance(body, bytes) else body
    text = text.removeprefix("\ufeff").strip(_SPACE)
    found, end = element_at(text, 0)
    if end != len(text):
        raise ValueError("There is more than one JSON value.")
    return found


def element_at(text: str, place: int) -> tuple[Any, int]:
    """The value that begins at a place, and the place after it.

    Raises:
        json.JSONDecodeError: there is none, or it ends early.
    """
    try:
        found, end = _DECODER.raw_decode(text, place)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        end = _end_of(text, place)
        return element_at(_shallow(text[place:end]), 0)[0], end
    if _MAY_NEED_REPAIR.search(text, place, end):
        found, _ = _DECODER.raw_decode(_storable_escapes(text[place:end]))
    return found, end


def encoded(value: Any) -> str:
    """JSON that every database stores: NaN and infinity become null, NUL characters and surrogates U+FFFD."""
    try:
        text = json.dumps(value, allow_nan=False)
    except ValueError:
        text = json.dumps(_finite(value))
    return _storable_escapes(text) if _MAY_NEED_REPAIR.search(text) else text


def storable(text: str) -> str:
    """The text without NUL characters and lone surrogates, which PostgreSQL and UTF-8 refuse."""
    return _UNSTORABLE.sub(REPLACEMENT, text)


def _storable_escapes(text: str) -> str:
    r"""The JSON text with `\u0000` and each escape of a lone surrogate replaced."""
    return _ESCAPES.sub(lambda found: REPLACEMENT if found[1] else found[0], text)


def _shallow(text: str) -> str:
    """The JSON text with null for each value that is nested more than `MOST_DEPTH` levels deep."""
    depth, kept, parts = 0, 0, list[str]()
    for token in _TOKENS.finditer(text):
        character = token[0][0]
        if character in "[{":
            if depth == MOST_DEPTH:
                parts.append(text[kept : token.start()])
            depth += 1
        elif character in "]}":
            depth -= 1
            if depth == MOST_DEPTH:
                parts.append("null")
                kept = token.end()
    return "".join((*parts, text[kept:]))


def _end_of(text: str, place: int) -> int:
    """The place after the list or object that begins at a place; JSONDecodeError if it ends early."""
    depth = 0
    for token in _TOKENS.finditer(text, place):
        character = token[0][0]
        depth += (character in "[{") - (character in "]}")
        if not depth:
            return token.end()
    raise json.JSONDecodeError("The value ends early", text, len(text))


def _finite(value: Any) -> Any:
    """The value with None for each number that is not finite."""
    if isinstance(value, dict):
        return {key: _finite(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _integer(digits: str) -> int | float:
    return int(digits) if len(digits) <= MOST_DIGITS else float(digits)


_DECODER = json.JSONDecoder(parse_int=_integer)
