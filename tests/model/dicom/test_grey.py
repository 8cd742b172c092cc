"""Stored values to grey, against the formulas of PS3.3, C.11.1 and C.11.2, one value at a time."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from model.dicom import DicomError
from model.dicom.grey import WHITE, Stored, grey

FUNCTIONS = ("LINEAR", "LINEAR_EXACT", "SIGMOID")
CENTRES = st.floats(-5000, 70000, allow_nan=False)
WIDTHS = st.floats(1.5, 70000)


def standard(value: float, centre: float, width: float, function: str) -> float:
    """C.11.2.1.2.1, C.11.2.1.3.2 and C.11.2.1.3.1, with outputs from 0 to WHITE."""
    if function == "SIGMOID":
        return WHITE / (1 + math.exp(min(-4 * (value - centre) / width, 700)))
    if function == "LINEAR":
        centre, width = centre - 0.5, width - 1
    if value <= centre - width / 2:
        return 0
    if value > centre + width / 2:
        return WHITE
    return ((value - centre) / width + 0.5) * WHITE


def header(**attributes: Any) -> Dataset:
    made = Dataset()
    made.PhotometricInterpretation = "MONOCHROME2"
    for keyword, value in attributes.items():
        setattr(made, keyword, value)
    return made


def lut(entries: Any, first: int, bits: int) -> Dataset:
    item = Dataset()
    item.LUTDescriptor = [len(entries), first, bits]
    item.LUTData = list(entries)
    return item


@settings(max_examples=50, deadline=None)
@given(
    bits=st.integers(8, 16),
    signed=st.booleans(),
    slope=st.floats(0.01, 20) | st.floats(-20, -0.01),
    intercept=st.floats(-3000, 3000),
    centre=CENTRES,
    width=WIDTHS,
    function=st.sampled_from(FUNCTIONS),
    inverted=st.booleans(),
    data=st.data(),
)
def test_rescale_window_and_monochrome1_are_those_of_the_standard(
    bits: int,
    signed: bool,
    slope: float,
    intercept: float,
    centre: float,
    width: float,
    function: str,
    inverted: bool,
    data: st.DataObject,
) -> None:
    stored = Stored(bits, signed)
    top = stored.lowest + 2**bits - 1
    values = data.draw(st.lists(st.integers(stored.lowest, top), min_size=2, max_size=12))
    pixels = np.array([values], np.int16 if signed else np.uint16)
    shown, notes = grey(
        pixels,
        header(
            RescaleSlope=slope,
            RescaleIntercept=intercept,
            WindowCenter=centre,
            WindowWidth=width,
            VOILUTFunction=function,
            PhotometricInterpretation="MONOCHROME1" if inverted else "MONOCHROME2",
        ),
        stored,
    )
    expected = [standard(value * slope + intercept, centre, width, function) for value in values]
    if notes:
        assert "window shows none" in notes[0]
        assert max(expected) - min(expected) <= 1
        return
    if inverted:
        expected = [WHITE - value for value in expected]
    assert np.abs(shown[0] - np.array(expected)).max() <= 0.5001


@settings(max_examples=30, deadline=None)
@given(
    bits=st.integers(1, 16),
    signed=st.booleans(),
    data=st.data(),
)
def test_without_a_window_no_two_values_become_one(bits: int, signed: bool, data: st.DataObject) -> None:
    stored = Stored(bits, signed)
    top = stored.lowest + 2**bits - 1
    values = np.array(data.draw(st.lists(st.integers(stored.lowest, top), min_size=1, max_size=40)))
    shown, notes = grey(values[None].astype(np.int16 if signed else np.uint16), header(), stored)
    assert notes == []
    assert np.array_equal(np.argsort(shown[0], kind="stable"), np.argsort(values, kind="stable"))
    assert len(np.unique(shown)) == len(np.unique(values))
    assert len(np.unique(values)) == 1 or (shown.min(), shown.max()) == (0, WHITE)


def test_overlays_in_unused_bits_are_not_shown() -> None:
    pixels = np.array([[0, 100, 4095]], np.uint16)
    written = pixels | np.uint16(0x8000)
    assert np.array_equal(
        grey(written, header(), Stored(12, False))[0], grey(pixels, header(), Stored(12, False))[0]
    )
    signed = np.array([[-2048, -1, 2047]], np.int16)
    text = (signed.view(np.uint16) & 0x0FFF | 0x4000).view(np.int16)
    assert np.array_equal(
        grey(text, header(), Stored(12, True))[0], grey(signed, header(), Stored(12, True))[0]
    )


def test_a_voi_lut_precedes_the_window_and_its_entries_are_found_by_value() -> None:
    # 1024 entries of 8 bits: pydicom 3.0 computes the places in 8 bits and finds a wrong one from 256 on.
    made = header(
        VOILUTSequence=[lut([each // 4 for each in range(1024)], 10, 8)], WindowCenter=5, WindowWidth=2
    )
    shown, _ = grey(np.array([[0, 10, 410, 1033, 4095]], np.uint16), made, Stored(12, False))
    assert shown.tolist() == [[0, 0, 100 * 257, WHITE, WHITE]]


def test_a_modality_lut_precedes_rescale_and_feeds_the_window() -> None:
    made = header(
        ModalityLUTSequence=[lut([0, 1000, 500, 200], 0, 16)],
        RescaleSlope=7,
        RescaleIntercept=7,
        WindowCenter=500,
        WindowWidth=1000,
        VOILUTFunction="LINEAR_EXACT",
    )
    shown, _ = grey(np.array([[0, 1, 2, 3, 9]], np.uint16), made, Stored(8, False))
    assert shown.tolist() == [[0, WHITE, 32768, 13107, 13107]]


def test_a_lut_of_signed_values_begins_below_zero() -> None:
    made = header(VOILUTSequence=[lut(range(0, 65536, 256), -128, 16)])
    shown, _ = grey(np.array([[-128, 0, 127]], np.int16), made, Stored(8, True))
    assert shown.tolist() == [[0, 128 * 256, 255 * 256]]


@pytest.mark.parametrize("inverted", [False, True])
def test_padding_is_black_and_does_not_stretch_the_others(inverted: bool) -> None:
    kind = "MONOCHROME1" if inverted else "MONOCHROME2"
    made = header(PixelPaddingValue=-2000, PhotometricInterpretation=kind)
    shown, _ = grey(np.array([[-2000, 0, 50, 100]], np.int16), made, Stored(16, True))
    assert shown.tolist() == [[0, WHITE, 32767, 0] if inverted else [0, 0, 32768, WHITE]]


@pytest.mark.parametrize(
    ("attributes", "note"),
    [
        ({"WindowCenter": 50, "WindowWidth": 0}, "window is unusable"),
        ({"WindowCenter": 50, "WindowWidth": -5}, "window is unusable"),
        ({"WindowCenter": 50, "WindowWidth": 0.5}, "window is unusable"),
        ({"WindowCenter": -9000, "WindowWidth": 10}, "shows none of the values"),
        ({"RescaleSlope": 0, "RescaleIntercept": 3}, "slope and intercept are unusable"),
    ],
)
def test_what_cannot_be_right_is_ignored_and_said(attributes: dict[str, float], note: str) -> None:
    shown, notes = grey(np.array([[0, 50, 100]], np.uint16), header(**attributes), Stored(12, False))
    assert [note in each for each in notes] == [True]
    assert shown.tolist() == [[0, 32768, WHITE]]


def test_of_several_windows_the_first_counts() -> None:
    made = header(WindowCenter=[100, 5], WindowWidth=[200, 5], VOILUTFunction="LINEAR_EXACT")
    shown, _ = grey(np.array([[0, 100, 200]], np.uint16), made, Stored(12, False))
    assert shown.tolist() == [[0, 32768, WHITE]]


def test_a_damaged_lut_is_refused() -> None:
    item = Dataset()
    item.LUTDescriptor = [4, 0, 16]
    with pytest.raises(DicomError, match="lookup table is damaged"):
        grey(np.array([[0, 1]], np.uint16), header(VOILUTSequence=[item]), Stored(12, False))
