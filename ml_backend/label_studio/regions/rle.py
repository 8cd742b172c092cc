"""The run-length encoding of Label Studio's brush regions, read and written run by run.

A stream is 32 bits of value count, 5 bits of word size - 1, four times 4 bits of length size - 1, then
records. A record is a flag, two bits that select a length size, length - 1 in that many bits, and then one
value (flag 1, a run) or ``length`` values (flag 0, a literal). The values are the RGBA bytes of the mask. All
four channels of a pixel equal its alpha, so the encoder never needs a literal, and the decoder never expands
the channels.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CHANNELS = 4
MAX_PIXELS = 100_000_000

_FIELD_BITS = (32, 5, 4, 4, 4, 4)
_HEADER_BITS = sum(_FIELD_BITS)
_WORD_SIZE = 8
_LENGTH_SIZES = (3, 4, 8, 16)
_LONGEST_OF_KIND = (8, 16, 256)
_LONGEST_RUN = 1 << _LENGTH_SIZES[-1]
_LONGEST_RECORD = 3 + 16 + _WORD_SIZE
_BLOCK = 1 << 15


class RleError(ValueError):
    """A stream that is not a mask of the stated size; the message is one sentence."""


class Runs(NamedTuple):
    """A mask as runs of equal alpha in row-major order; adjacent runs may have the same alpha."""

    alphas: NDArray[np.uint8]
    """(R,) alpha of each run, 0 to 255."""
    lengths: NDArray[np.int64]
    """(R,) length of each run in pixels; they sum to the pixels of the mask."""


def encode(mask: NDArray[np.uint8]) -> list[int]:
    """Encode an (H, W) mask of alphas 0 to 255, byte for byte as the SDK's ``mask2rle`` does.

    Raises:
        RleError: the mask is not two-dimensional uint8, is empty, or has 2³⁰ pixels or more.
    """
    return encode_runs(runs_of(mask))


def encode_runs(runs: Runs) -> list[int]:
    """Encode a mask given as runs, as :func:`encode` does; adjacent runs of equal alpha are joined."""
    alphas, lengths = _split_long(*_join(runs))
    kinds = np.searchsorted(_LONGEST_OF_KIND, lengths)
    # The tail of a run longer than 65 536 values keeps the long form, however short, as in the SDK.
    kinds[1:][(lengths[:-1] == _LONGEST_RUN) & (alphas[1:] == alphas[:-1])] = 3
    sizes = np.array(_LENGTH_SIZES, dtype=np.int64)[kinds]
    codes = ((4 + kinds) << sizes | (lengths - 1)) << _WORD_SIZE | alphas
    count = int(runs.lengths.sum()) * CHANNELS
    fields = [count, _WORD_SIZE - 1, *(size - 1 for size in _LENGTH_SIZES)]
    return _pack(np.r_[fields, codes], np.r_[_FIELD_BITS, 3 + sizes + _WORD_SIZE])


def runs_of(mask: NDArray[np.uint8]) -> Runs:
    """Return the maximal runs of an (H, W) uint8 array.

    Raises:
        RleError: the array is not two-dimensional uint8, is empty, or has 2³⁰ pixels or more.
    """
    if mask.ndim != 2 or mask.dtype != np.uint8:
        raise RleError(f"A mask to encode must be (H, W) uint8, not {mask.shape} {mask.dtype}.")
    if not 0 < mask.size < 1 << 30:
        raise RleError(f"A mask to encode must have 1 to 2^30 - 1 pixels, not {mask.size}.")
    flat = mask.ravel()
    ends = np.append(np.flatnonzero(flat[1:] != flat[:-1]), flat.size - 1)
    return Runs(flat[ends], np.diff(ends, prepend=-1))


def decode(
    rle: list[int] | tuple[int, ...] | bytes, height: int, width: int, *, max_pixels: int = MAX_PIXELS
) -> NDArray[np.uint8]:
    """Decode a stream to the (H, W) uint8 alphas of its mask, 0 to 255.

    Raises:
        RleError: as for :func:`decode_runs`; raised before memory for the mask is allocated.
    """
    runs = decode_runs(rle, height, width, max_pixels=max_pixels)
    return np.repeat(runs.alphas, runs.lengths).reshape(height, width)


def decode_runs(
    rle: list[int] | tuple[int, ...] | bytes, height: int, width: int, *, max_pixels: int = MAX_PIXELS
) -> Runs:
    """Decode a stream to the runs of its mask; memory use depends on the stream's length, not on its header.

    Bits after the last value are padding and are not read.

    Raises:
        RleError: values that are not integers from 0 to 255, a header that does not announce
            4·height·width values of 8 bits, a mask beyond ``max_pixels``, a stream that ends early, or a
            record that runs past the end of the mask.
    """
    data = _to_bytes(rle)
    sizes = _read_header(data, height, width, max_pixels)
    count = height * width * CHANNELS
    # No valid record uses more bits per value, so anything beyond can only be padding.
    data = data[: (_HEADER_BITS + count * _LONGEST_RECORD) // 8 + 1]
    values, ends = _records(data, sizes)
    if not len(ends) or ends[-1] < count:
        raise RleError(f"The mask's stream ends after {int(ends[-1]) if len(ends) else 0} of {count} values.")
    last = int(np.searchsorted(ends, count))
    if ends[last] != count:
        raise RleError(f"The mask's stream has a run that ends at {int(ends[last])} of {count} values.")
    # Alpha is the fourth value of a pixel, so a run that ends at value e has covered e // 4 alphas.
    lengths = np.diff(ends[: last + 1] // CHANNELS, prepend=0)
    covered = lengths > 0
    return Runs(values[: last + 1][covered], lengths[covered])


def _join(runs: Runs) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """The alpha and the length in values of each maximal run."""
    last = np.append(np.flatnonzero(runs.alphas[1:] != runs.alphas[:-1]), len(runs.alphas) - 1)
    return runs.alphas[last], np.diff(np.cumsum(runs.lengths)[last], prepend=0) * CHANNELS


def _split_long(
    alphas: NDArray[np.uint8], lengths: NDArray[np.int64]
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Split runs longer than a record can encode; the last piece gets the remainder."""
    pieces = -(-lengths // _LONGEST_RUN)
    if pieces.max() == 1:
        return alphas, lengths
    tails = np.cumsum(pieces) - 1
    cut = np.full(int(pieces.sum()), _LONGEST_RUN, dtype=np.int64)
    cut[tails] = lengths - (pieces - 1) * _LONGEST_RUN
    return np.repeat(alphas, pieces), cut


def _pack(codes: NDArray[np.int64], bits: NDArray[np.int64]) -> list[int]:
    """Concatenate codes of at most 32 bits, most significant bit first, and pad with 1 to 8 zero bits."""
    ends = np.cumsum(bits)
    total = int(ends[-1])
    starts = ends - bits
    words = np.zeros(total // 32 + 2, dtype=np.uint64)
    placed = codes.astype(np.uint64) << (64 - bits - (starts & 31)).astype(np.uint64)
    # Codes never overlap, so addition equals bitwise or, and is faster.
    np.add.at(words, starts >> 5, placed >> np.uint64(32))
    np.add.at(words, (starts >> 5) + 1, placed & np.uint64(0xFFFFFFFF))
    return list(words.astype(">u4").tobytes()[: total // 8 + 1])


def _to_bytes(rle: list[int] | tuple[int, ...] | bytes) -> bytes:
    if not isinstance(rle, list | tuple | bytes):
        raise RleError(f"A mask's stream must be a list of numbers, not {type(rle).__name__}.")
    try:
        return bytes(rle)
    except (TypeError, ValueError):
        raise RleError("A mask's stream must contain only integers from 0 to 255.") from None


def _read_header(data: bytes, height: int, width: int, max_pixels: int) -> NDArray[np.int64]:
    """Check the header against the stated size and return its four length sizes."""
    if not (isinstance(height, int) and isinstance(width, int) and height > 0 and width > 0):
        raise RleError(f"A mask's size must be two positive integers, not {width!r} × {height!r}.")
    if height * width > max_pixels:
        raise RleError(f"A mask of {width} × {height} pixels is over the limit of {max_pixels} pixels.")
    header = int.from_bytes(data[:7]) >> (7 * 8 - _HEADER_BITS)
    if len(data) * 8 < _HEADER_BITS:
        raise RleError(f"A mask's stream of {len(data)} bytes is too short for its header.")
    count, word_size = header >> 21, (header >> 16 & 31) + 1
    if count != height * width * CHANNELS:
        raise RleError(
            f"The mask's stream announces {count} values, but {width} × {height} pixels make "
            f"{height * width * CHANNELS}."
        )
    if word_size != _WORD_SIZE:
        raise RleError(f"The mask's stream has values of {word_size} bits; masks have 8.")
    return np.array([(header >> shift & 15) + 1 for shift in (12, 8, 4, 0)], dtype=np.int64)


def _records(data: bytes, sizes: NDArray[np.int64]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Every value with the position in the mask's bytes where it ends; literals are runs of one."""
    padded = np.frombuffer(data + bytes(8), dtype=np.uint8)
    starts, literals = _walk(padded, len(data) * 8, sizes)
    heads = _window(padded, starts)
    flags = heads >> np.uint64(63)
    size = sizes[(heads >> np.uint64(61) & np.uint64(3)).astype(np.intp)]
    lengths = (heads << np.uint64(3) >> (64 - size).astype(np.uint64)).astype(np.int64) + 1
    if not literals:
        values = heads << (3 + size).astype(np.uint64) >> np.uint64(64 - _WORD_SIZE)
        return values.astype(np.uint8), np.cumsum(lengths)
    repeats = np.where(flags == 1, 1, lengths)
    first = np.cumsum(repeats) - repeats
    within = np.arange(int(repeats.sum())) - np.repeat(first, repeats)
    places = np.repeat(starts + 3 + size, repeats) + within * _WORD_SIZE
    values = _window(padded, places) >> np.uint64(64 - _WORD_SIZE)
    return values.astype(np.uint8), np.cumsum(np.repeat(np.where(flags == 1, lengths, 1), repeats))


def _walk(padded: NDArray[np.uint8], end: int, sizes: NDArray[np.int64]) -> tuple[NDArray[np.int64], bool]:
    """The bit at which each complete record starts, and whether any record is a literal.

    A record's position depends on all records before it, so this loop cannot be vectorised. The length of a
    run starting at each bit is computed in advance, which leaves one look-up and one addition per record.
    """
    table = np.zeros(8, dtype=np.uint8)
    table[4:] = 3 + sizes + _WORD_SIZE
    starts: list[int] = []
    literals = False
    place = _HEADER_BITS
    last = end - (3 + int(sizes.min()) + _WORD_SIZE)
    while place <= last:
        block = place >> 3
        strides = _strides(padded[block : block + _BLOCK + 1], table)
        place -= block << 3
        stop = min(last - (block << 3), _BLOCK * 8 - 1)
        within: list[int] = []
        while place <= stop:
            within.append(place)
            stride = strides[place]
            if not stride:
                literals = True
                stride = _literal_bits(padded, (block << 3) + place, sizes)
            place += stride
        starts.extend(start + (block << 3) for start in within)
        place += block << 3
    if starts and place > end:
        starts.pop()
    return np.array(starts, dtype=np.int64), literals


def _strides(block: NDArray[np.uint8], table: NDArray[np.uint8]) -> bytes:
    """For each bit, the length in bits of a record starting there; 0 for a literal."""
    bits = np.unpackbits(block)
    strides: NDArray[np.uint8] = table[bits[:-2] << 2 | bits[1:-1] << 1 | bits[2:]]
    return strides.tobytes()


def _literal_bits(padded: NDArray[np.uint8], place: int, sizes: NDArray[np.int64]) -> int:
    window = int.from_bytes(padded[place >> 3 : (place >> 3) + 4].tobytes()) << (place & 7) & 0xFFFFFFFF
    size = int(sizes[window >> 29])
    return 3 + size + ((window >> (29 - size) & ((1 << size) - 1)) + 1) * _WORD_SIZE


def _window(padded: NDArray[np.uint8], places: NDArray[np.int64]) -> NDArray[np.uint64]:
    """The 64-bit word that starts at each bit position; at least its upper 32 bits come from the data."""
    first = places >> 3
    word = np.zeros(len(places), dtype=np.uint64)
    for byte in range(5):
        word |= padded[first + byte].astype(np.uint64) << np.uint64(56 - 8 * byte)
    return word << (places & 7).astype(np.uint64)
