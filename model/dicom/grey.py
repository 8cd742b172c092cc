"""From stored values to the grey that a viewer shows: PS3.3, C.11.1 (modality) and C.11.2 (VOI).

A stored value has at most 16 bits, so everything is computed once for each possible value and then looked
up, and no image of floating-point numbers is held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from model.dicom import DicomError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

WHITE = 65535
BLOCK = 2**20
"""Pixels that are looked up together."""

Values: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Stored:
    """How a file stores its values: `bits` of them (1 to 16), and whether they are signed."""

    bits: int
    signed: bool

    @property
    def lowest(self) -> int:
        """The lowest value that can be stored."""
        return -(1 << self.bits - 1) if self.signed else 0

    @property
    def values(self) -> Values:
        """All values that can be stored, ascending."""
        return np.arange(self.lowest, self.lowest + (1 << self.bits), dtype=np.float64)

    def places(self, pixels: NDArray[Any]) -> NDArray[np.uint16]:
        """The place in `values` of each pixel (H, W); bits above the stored ones are ignored.

        Older files keep overlays in these bits, often with text burned into them.
        """
        # Adding half of the range turns two's complement into an ascending order, whatever is above.
        offset = 1 << self.bits - 1 if self.signed else 0
        unsigned = pixels.astype(pixels.dtype.newbyteorder("=")).astype(np.uint16)
        return ((unsigned + np.uint16(offset)) & np.uint16((1 << self.bits) - 1)).astype(np.uint16)


def grey(pixels: NDArray[Any], header: Dataset, stored: Stored) -> tuple[NDArray[np.uint16], list[str]]:
    """The image (H, W) in 16 bits as a viewer would show it first, and what of the file was ignored.

    Modality LUT or rescale; then the first VOI LUT, else the first window, else the whole range of values in
    the image; then MONOCHROME1 is inverted. Padding is black.

    Raises:
        DicomError: a lookup table is damaged.
    """
    notes: list[str] = []
    places = stored.places(pixels)
    padding = _padding(header, stored)
    used = np.zeros(1 << stored.bits, bool)
    for rows in _blocks(places):
        used[places[rows]] = True
    used &= ~padding
    values = modality(stored.values, header, notes)
    table = voi(values, header, notes)
    if table is not None and used.sum() > 1 and np.ptp(table[used]) < 1:
        notes.append("the window shows none of the values in the image and is ignored")
        table = None
    if table is None:
        table = stretched(values, used)
    shown = np.rint(np.clip(table, 0, WHITE)).astype(np.uint16)
    if header.get("PhotometricInterpretation") == "MONOCHROME1":
        shown = WHITE - shown
    shown[padding] = 0
    for rows in _blocks(places):
        places[rows] = shown[places[rows]]
    return places, notes


def _blocks(places: NDArray[np.uint16]) -> Iterator[slice]:
    """The rows of an image a few at a time, since numpy looks places up in 64 bits each."""
    step = max(1, BLOCK // places.shape[1])
    for first in range(0, places.shape[0], step):
        yield slice(first, first + step)


def modality(values: Values, header: Dataset, notes: list[str]) -> Values:
    """Output of the modality LUT, or of rescale slope and intercept, in the file's units."""
    if header.get("ModalityLUTSequence"):
        return _looked_up(values, header.ModalityLUTSequence[0], header)[0]
    slope, intercept = _number(header, "RescaleSlope", 1.0), _number(header, "RescaleIntercept", 0.0)
    if slope is None or intercept is None or slope == 0:
        notes.append("its rescale slope and intercept are unusable and are ignored")
        return values
    return values * slope + intercept


def voi(values: Values, header: Dataset, notes: list[str]) -> Values | None:
    """Grey values from 0 to 65535 under the file's first VOI LUT or window; None if it has neither."""
    if header.get("VOILUTSequence"):
        shown, bits = _looked_up(values, header.VOILUTSequence[0], header)
        return shown * (WHITE / ((1 << bits) - 1))
    if header.get("WindowCenter") is None or header.get("WindowWidth") is None:
        return None
    centre, width = _number(header, "WindowCenter"), _number(header, "WindowWidth")
    function = str(header.get("VOILUTFunction") or "LINEAR").strip().upper()
    if function not in ("LINEAR", "LINEAR_EXACT", "SIGMOID"):
        notes.append("its VOI LUT function is unknown, and the window is read as LINEAR")
        function = "LINEAR"
    if centre is None or width is None or width <= 0 or (function == "LINEAR" and width < 1):
        notes.append("its window is unusable and is ignored")
        return None
    return windowed(values, centre, width, function)


def windowed(values: Values, centre: float, width: float, function: str) -> Values:
    """Grey values from 0 to 65535 under one window; PS3.3, C.11.2.1.2 and C.11.2.1.3."""
    from pydicom.dataset import Dataset
    from pydicom.pixels.processing import apply_windowing

    # pydicom takes the range of the output from these two.
    window = Dataset()
    window.BitsStored, window.PixelRepresentation = 16, 0
    window.PhotometricInterpretation = "MONOCHROME2"
    window.WindowCenter, window.WindowWidth = centre, width
    window.VOILUTFunction = function
    with np.errstate(over="ignore"):
        shown: Values = apply_windowing(values, window)
    return shown


def stretched(values: Values, used: NDArray[np.bool_]) -> Values:
    """Grey values from 0 to 65535 over the range of the values that the image uses; distinct ones stay so."""
    if not used.any():
        return np.zeros_like(values)
    low, high = values[used].min(), values[used].max()
    share: Values = np.clip((values - low) / ((high - low) or 1.0), 0, 1)
    return share * WHITE


def _looked_up(values: Values, item: Dataset, header: Dataset) -> tuple[Values, int]:
    """Output of a lookup table, and the bits of its entries.

    Not by pydicom, which computes places in the number of bits of the entries: of a table of 4096 entries
    with 8 bits each it reads entry 0 for the value 256.
    """
    try:
        entries, first, bits = _words(item.LUTDescriptor, header)
        data = item.LUTData
    except (AttributeError, TypeError, ValueError) as error:
        raise DicomError("Its lookup table is damaged.") from error
    table = _entries(data, header, entries or 1 << 16, bits)
    if len(table) == 0 or not 1 <= bits <= 16:
        raise DicomError("Its lookup table is damaged.")
    # The first mapped value is signed if the values are; pydicom may read it as unsigned.
    if first >= 1 << 15 and values.min() < 0:
        first -= 1 << 16
    places = np.clip(np.rint(values) - first, 0, len(table) - 1).astype(np.int64)
    return table[places].astype(np.float64), bits


def _entries(data: Any, header: Dataset, count: int, bits: int) -> NDArray[np.uint16]:
    """The table's entries; files with entries of 8 bits may hold two in each word."""
    if not isinstance(data, bytes):
        return np.atleast_1d(np.asarray(data, np.int64)).astype(np.uint16)[:count]
    if bits == 8 and len(data) in (count, count + 1):
        return np.frombuffer(data, np.uint8)[:count].astype(np.uint16)
    return np.asarray(_words(data, header)[:count], np.uint16)


def _words(value: Any, header: Dataset) -> list[int]:
    """Values of 16 bits; pydicom leaves bytes where the file does not say whether they are signed."""
    if not isinstance(value, bytes):
        return [int(each) for each in value]
    order = ">" if header.original_encoding[1] is False else "<"
    return [int(word) for word in np.frombuffer(value[: len(value) // 2 * 2], f"{order}u2")]


def _padding(header: Dataset, stored: Stored) -> NDArray[np.bool_]:
    """Which of the values that can be stored mean padding (C.7.5.1.1.2)."""
    low = _number(header, "PixelPaddingValue")
    high = _number(header, "PixelPaddingRangeLimit", low)
    if low is None or high is None:
        return np.zeros(1 << stored.bits, bool)
    if stored.signed:
        low, high = (end - (1 << 16) if end >= 1 << 15 else end for end in (low, high))
    return (stored.values >= min(low, high)) & (stored.values <= max(low, high))


def _number(header: Dataset, keyword: str, otherwise: float | None = None) -> float | None:
    """The first value of an attribute; `otherwise` if it is absent, None if it is not a finite number."""
    try:
        value = header.get(keyword)
        if value is None or value == "":
            return otherwise
        if isinstance(value, bytes):
            value = _words(value, header)
        number = float(value) if isinstance(value, int | float | str) else float(value[0])
    except (TypeError, ValueError, IndexError, ArithmeticError):
        return None
    return number if np.isfinite(number) else None
