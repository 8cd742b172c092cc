"""Reading a JSON array while it arrives."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_backend.label_studio.json_stream import JsonStreamError, items

texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=10,
)


def chunks(data: bytes, size: int) -> Iterator[bytes]:
    return (data[start : start + size] for start in range(0, len(data), size))


@given(st.lists(values, max_size=6), st.integers(1, 40), st.sampled_from([None, 2]), st.booleans())
def test_an_array_in_chunks_of_any_size_is_what_it_is_as_a_whole(
    array: list[object], size: int, indent: int | None, ascii_only: bool
) -> None:
    data = json.dumps(array, indent=indent, ensure_ascii=ascii_only).encode()
    assert list(items(chunks(data, size))) == array


def test_integers_of_any_length_are_read() -> None:
    data = b'[{"accession": 12345678901234567890, "n": -' + b"9" * 5000 + b', "m": 1}, {"id": 2}]'
    first, second = items(chunks(data, 100))
    assert first["accession"] == 12345678901234567890
    assert first["n"] < -(10**300)
    assert (first["m"], second) == (1, {"id": 2})


def test_an_element_is_given_before_the_next_one_arrives() -> None:
    def arriving() -> Iterator[bytes]:
        yield b'[{"id": 1}, '
        raise ConnectionError

    stream = items(arriving())
    assert next(stream) == {"id": 1}
    with pytest.raises(ConnectionError):
        next(stream)


@pytest.mark.parametrize(
    "data", [b"", b"[", b"[1", b"[1,", b'[{"id": 1}', b"{}", b"[1 2]", b"<html>", b"[nope]"]
)
def test_what_is_no_array_or_ends_early_is_refused(data: bytes) -> None:
    with pytest.raises(JsonStreamError):
        list(items(chunks(data, 3)))


def test_an_element_that_never_ends_is_refused() -> None:
    with pytest.raises(JsonStreamError):
        list(items([b"[" * 100_000]))


@pytest.mark.parametrize("size", [7, 100_000])
def test_of_a_deeply_nested_element_what_is_not_deep_remains(size: int) -> None:
    deep = b'[{"x": "]"},' * 5000 + b'"\\\\"' + b"]" * 5000
    data = b'[{"id": 1, "meta": ' + deep + b', "data": {"image": "a.png"}}, {"id": 2}]'
    first, second = items(chunks(data, size))
    assert (first["id"], first["data"]) == (1, {"image": "a.png"})
    assert first["meta"][0] == {"x": "]"}
    assert second == {"id": 2}


def test_what_postgresql_and_utf_8_refuse_is_replaced_while_reading() -> None:
    data = rb'[{"nul": "a\u0000b\\u0000", "lone": "\ud83d!", "pair": "\ud83d\ude00", "late": "\udc00"}]'
    (found,) = items(chunks(data, 5))
    assert found == {"nul": "a\ufffdb\\u0000", "lone": "\ufffd!", "pair": "\U0001f600", "late": "\ufffd"}


def test_numbers_that_json_does_not_know_are_numbers() -> None:
    (found,) = items([b'[{"a": NaN, "b": 1e400, "c": -Infinity}]'])
    assert found["a"] != found["a"]
    assert (found["b"], found["c"]) == (float("inf"), float("-inf"))
