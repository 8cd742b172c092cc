"""The run-length codec: compared with the SDK's in both directions, and given hostile streams."""

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from label_studio_sdk.converter.brush import decode_rle, mask2rle
from numpy.typing import NDArray

from ml_backend.label_studio.regions import rle

Record = tuple[int, list[int] | tuple[int, int]]


@st.composite
def masks(draw: st.DrawFn) -> NDArray[np.uint8]:
    """Masks of any shape, with runs from one pixel to longer than a record can encode."""
    runs = draw(
        st.lists(
            st.tuples(
                st.sampled_from([0, 255, 0, 255, 1, 127, 128]),
                st.one_of(st.integers(1, 5), st.integers(1, 70), st.integers(16_380, 40_000)),
            ),
            min_size=1,
            max_size=30,
        )
    )
    flat = np.concatenate([np.full(length, alpha, dtype=np.uint8) for alpha, length in runs])
    width = draw(st.integers(1, max(1, min(200, flat.size))))
    return flat[: flat.size // width * width].reshape(-1, width)


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[int], int]:
    """Valid streams of other encoders: literals, runs that end within a pixel, other length sizes."""
    sizes = draw(st.one_of(st.just((3, 4, 8, 16)), st.tuples(*[st.integers(1, 16)] * 4)))
    bits, total = "", 0
    for _ in range(draw(st.integers(1, 12))):
        choice = draw(st.integers(0, 3))
        flag = draw(st.integers(0, 1))
        longest = 1 << sizes[choice]
        length = draw(st.integers(1, longest if flag else min(longest, 40)))
        values = draw(
            st.lists(st.integers(0, 255), min_size=1 if flag else length, max_size=1 if flag else length)
        )
        bits += f"{flag:b}{choice:02b}{length - 1:0{sizes[choice]}b}" + "".join(f"{v:08b}" for v in values)
        total += length
    missing = -total % 4
    if missing:
        longest = min(1 << sizes[0], missing)
        while missing:
            length = min(longest, missing)
            bits += f"100{length - 1:0{sizes[0]}b}{draw(st.integers(0, 255)):08b}"
            total, missing = total + length, missing - length
    header = f"{total:032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in sizes)
    return to_bytes(header + bits), total // 4


def to_bytes(bits: str) -> list[int]:
    bits += "0" * (8 - len(bits) % 8)
    return [int(bits[place : place + 8], 2) for place in range(0, len(bits), 8)]


def alphas_by_sdk(stream: list[int], height: int, width: int) -> NDArray[np.uint8]:
    alphas: NDArray[np.uint8] = decode_rle(stream).reshape(height, width, 4)[..., 3]
    return alphas


@given(masks())
@settings(max_examples=150, deadline=None)
@example(np.zeros((1, 1), dtype=np.uint8))
@example(np.full((128, 128), 255, dtype=np.uint8))
@example(np.full((1, 16_385), 255, dtype=np.uint8))
def test_encoder_writes_the_bytes_of_the_sdk(mask: NDArray[np.uint8]) -> None:
    assert rle.encode(mask) == mask2rle(mask)


@given(masks())
@settings(max_examples=100, deadline=None)
def test_decoding_inverts_encoding(mask: NDArray[np.uint8]) -> None:
    np.testing.assert_array_equal(rle.decode(rle.encode(mask), *mask.shape), mask)


@given(streams())
@settings(max_examples=150, deadline=None)
def test_any_stream_decodes_as_the_sdk_decodes_it(stream: tuple[list[int], int]) -> None:
    values, pixels = stream
    np.testing.assert_array_equal(rle.decode(values, 1, pixels), alphas_by_sdk(values, 1, pixels))


def test_streams_longer_than_a_block_decode_as_the_sdk_decodes_them() -> None:
    random = np.random.default_rng(5)
    mask = np.where(random.random((400, 300)) < 0.5, 255, 0).astype(np.uint8)
    stream = rle.encode(mask)
    assert len(stream) > 3 * rle._BLOCK
    np.testing.assert_array_equal(rle.decode(stream, 400, 300), alphas_by_sdk(stream, 400, 300))


def test_long_literals_cross_blocks() -> None:
    random = np.random.default_rng(6)
    values = random.integers(0, 256, 200_000)
    bits = f"{values.size:032b}{7:05b}" + "".join(f"{size - 1:04b}" for size in (3, 4, 8, 16))
    for start in range(0, values.size, 65_536):
        part = values[start : start + 65_536]
        bits += f"011{part.size - 1:016b}" + "".join(f"{value:08b}" for value in part)
    decoded = rle.decode(to_bytes(bits), 1, values.size // 4)
    np.testing.assert_array_equal(decoded.ravel(), values[3::4])


@given(masks(), st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_a_truncated_stream_is_refused(mask: NDArray[np.uint8], cut: int) -> None:
    # The last record spans at least the 14 bits that 3 bytes contain besides the padding.
    stream = rle.encode(mask)[: -2 - cut]
    with pytest.raises(rle.RleError, match=r"ends after|too short"):
        rle.decode(stream, *mask.shape)


@given(st.binary(max_size=200), st.integers(1, 64), st.integers(1, 64))
@settings(max_examples=300, deadline=None)
def test_random_bytes_decode_or_raise_rle_error(data: bytes, height: int, width: int) -> None:
    try:
        decoded = rle.decode(data, height, width)
    except rle.RleError:
        return
    assert decoded.shape == (height, width)


@given(st.binary(max_size=200))
@settings(max_examples=300, deadline=None)
def test_random_records_decode_or_raise_rle_error(records: bytes) -> None:
    header = bytes(rle.encode(np.zeros((20, 20), dtype=np.uint8))[:6])
    try:
        decoded = rle.decode(header + records, 20, 20)
    except rle.RleError:
        return
    assert decoded.shape == (20, 20)


def header(count: int, word_size: int = 8) -> str:
    return f"{count:032b}{word_size - 1:05b}0010001101111111"


LONG_RUN = "111" + "1" * 16 + "1" * 8

HOSTILE: dict[str, tuple[Any, str]] = {
    "count beyond the size": (to_bytes(header(2**32 - 1) + LONG_RUN), "announces 4294967295 values"),
    "count below the size": (to_bytes(header(4) + "10001111111111"), "announces 4 values"),
    "wide words": (to_bytes(header(400, word_size=16) + LONG_RUN), "values of 16 bits"),
    "run past the end": (to_bytes(header(400) + LONG_RUN), "ends at 65536 of 400"),
    "header only": (to_bytes(header(400))[:6], "too short"),
    "no records": (to_bytes(header(400)), "ends after 0 of 400"),
    "an empty stream": ([], "too short"),
    "a value over a byte": ([0, 0, 256], "integers from 0 to 255"),
    "a negative value": ([0, 0, -1], "integers from 0 to 255"),
    "a fraction": ([0, 0, 1.5], "integers from 0 to 255"),
    "text in the list": ([0, "1"], "integers from 0 to 255"),
    "a string": ("0,1", "list of numbers, not str"),
    "a number": (10**12, "list of numbers, not int"),
    "an object": ({"0": 1}, "list of numbers, not dict"),
    "null": (None, "list of numbers, not NoneType"),
}


@pytest.mark.parametrize(("stream", "reason"), HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_streams_are_refused(stream: Any, reason: str) -> None:
    with pytest.raises(rle.RleError, match=reason) as refused:
        rle.decode(stream, 10, 10)
    assert str(refused.value).endswith(".")


@pytest.mark.parametrize(
    ("height", "width"), [(0, 10), (-1, 10), (10, "10"), (2.0, 2), (None, 3), (1_000_000, 1_000)]
)
def test_impossible_sizes_are_refused(height: Any, width: Any) -> None:
    with pytest.raises(rle.RleError):
        rle.decode([0] * 10, height, width)


def test_a_false_size_allocates_no_memory() -> None:
    # Size and header both claim 80 million pixels, but there is only one record.
    stream = to_bytes(header(4 * 80_000_000) + LONG_RUN)
    tracemalloc.start()
    with pytest.raises(rle.RleError, match="ends after 65536"):
        rle.decode(stream, 8_000, 10_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2_000_000


@pytest.mark.parametrize(
    "mask", [np.zeros((0, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4), np.float32)]
)
def test_invalid_masks_are_not_encoded(mask: Any) -> None:
    with pytest.raises(rle.RleError, match="A mask to encode must"):
        rle.encode(mask)
