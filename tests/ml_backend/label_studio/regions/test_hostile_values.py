"""Untrusted regions: anything other than a mask is refused with a one-sentence error."""

from __future__ import annotations

import base64
import math
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from ml_backend.label_studio.regions import bitmask, ellipse, polygon, rectangle, rle, vector
from ml_backend.label_studio.regions.components import numbered
from ml_backend.label_studio.regions.masks import label_map
from ml_backend.label_studio.regions.shape import RegionError
from tests.ml_backend.label_studio.regions.forms import CONFIG, FORMS, SIZE, SQUARE, box, chain, read, uri


def bomb() -> str:
    """A PNG whose header states 50 000 × 50 000 pixels."""
    head = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 6, 0, 0, 0)
    chunks = [(b"IHDR", head), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in chunks
    )
    return bitmask.PREFIX + base64.b64encode(data).decode()


GREY = Image.fromarray(np.zeros(SIZE, np.uint8))

CLEAR = Image.fromarray(np.zeros((*SIZE, 4), np.uint8))

ROUND = {"x": 50, "y": 50, "radiusX": 10, "radiusY": 10}

SIDES = {"x": 10, "y": 10, "width": 10, "height": 10}

HOSTILE = {
    "an open polygon": ("polygonlabels", {"points": SQUARE, "closed": False}, "not closed"),
    "two corners": ("polygonlabels", {"points": SQUARE[:2]}, "must have 3 to"),
    "corners that are not a list": ("polygonlabels", {"points": "abc"}, "must have 3 to"),
    "no corners": ("polygonlabels", {}, "must have 3 to"),
    "a hundred thousand and one corners": ("polygonlabels", {"points": [[0, 0]] * 100_001}, "must have 3 to"),
    "a corner of one number": ("polygonlabels", {"points": [*SQUARE, [1]]}, "not a pair"),
    "a corner that is null": ("polygonlabels", {"points": [*SQUARE, None]}, "not a pair"),
    "a corner at NaN": ("polygonlabels", {"points": [*SQUARE, [1, math.nan]]}, "far outside the image"),
    "a corner at infinity": ("polygonlabels", {"points": [*SQUARE, [math.inf, 1]]}, "far outside the image"),
    "a corner far away": ("polygonlabels", {"points": [*SQUARE, [1, 1e300]]}, "far outside the image"),
    "a corner beyond all floats": (
        "polygonlabels",
        {"points": [*SQUARE, [1, 10**400]]},
        "far outside the image",
    ),
    "a corner as text": ("polygonlabels", {"points": [*SQUARE, ["1", 1]]}, "must be a number"),
    "a corner that is true": ("polygonlabels", {"points": [*SQUARE, [True, 1]]}, "must be a number"),
    "an extremely long outline": ("polygonlabels", {"points": [[0, 0], [9, 100]] * 50_000}, "no pixel"),
    "an open vector": ("vectorlabels", {**chain(SQUARE), "closed": False}, "not closed"),
    "a vector that does not say": ("vectorlabels", {"vertices": chain(SQUARE)["vertices"]}, "not closed"),
    "no vertices": ("vectorlabels", {"closed": True}, "must have 3 to"),
    "a vertex that is null": ("vectorlabels", {"closed": True, "vertices": [None] * 3}, "must be an object"),
    "a vertex without coordinates": (
        "vectorlabels",
        {"closed": True, "vertices": [{"x": 1}] * 3},
        "must be a number",
    ),
    "a branch": (
        "vectorlabels",
        {"closed": True, "vertices": [*chain(SQUARE)["vertices"], {"x": 1, "y": 1, "prevPointId": "p1"}]},
        "branches",
    ),
    "two paths": (
        "vectorlabels",
        {
            "closed": True,
            "vertices": [
                *chain(SQUARE)["vertices"],
                {"id": "a", "x": 1, "y": 1, "prevPointId": "b"},
                {"id": "b", "x": 1, "y": 2, "prevPointId": "a"},
            ],
        },
        "more than one path",
    ),
    "a handle that is a number": (
        "vectorlabels",
        chain(SQUARE, p0={"controlPoint2": 3}),
        "must be an object",
    ),
    "a handle at infinity": (
        "vectorlabels",
        chain(SQUARE, p0={"controlPoint2": {"x": math.inf, "y": 1}}),
        "far outside the image",
    ),
    "an ellipse without a radius": (
        "ellipselabels",
        {"x": 1, "y": 1, "radiusX": 1},
        "radiusY must be a number",
    ),
    "an ellipse with a negative radius": ("ellipselabels", {**ROUND, "radiusX": -1}, "negative"),
    "an ellipse rotated by a word": ("ellipselabels", {**ROUND, "rotation": "left"}, "must be a number"),
    "a rectangle without a side": (
        "rectanglelabels",
        {"x": 1, "y": 1, "height": 3},
        "width must be a number",
    ),
    "a rectangle with a negative side": ("rectanglelabels", {**SIDES, "height": -3}, "negative"),
    "a rectangle at NaN": ("rectanglelabels", {**SIDES, "x": math.nan}, "far outside the image"),
    "no bitmask": ("bitmasklabels", {}, "has no PNG"),
    "a bitmask at a URL": ("bitmasklabels", {"imageDataURL": "http://host/a.png"}, "has no PNG"),
    "a bitmask that is a JPEG": ("bitmasklabels", {"imageDataURL": uri(GREY, "JPEG")}, "has no PNG"),
    "a JPEG that says PNG": (
        "bitmasklabels",
        {"imageDataURL": uri(GREY, "JPEG").replace("jpeg", "png")},
        "broken",
    ),
    "a bitmask that is not base64": ("bitmasklabels", {"imageDataURL": bitmask.PREFIX + "%%%"}, "broken"),
    "half a bitmask": ("bitmasklabels", {"imageDataURL": uri(CLEAR)[:-40] + "="}, "broken"),
    "a bitmask without transparency": ("bitmasklabels", {"imageDataURL": uri(GREY)}, "no transparency"),
    "a small bitmask": ("bitmasklabels", {"imageDataURL": uri(CLEAR.resize((20, 10)))}, "20 × 10 pixels"),
    "a bomb": ("bitmasklabels", {"imageDataURL": bomb()}, "50000 × 50000 pixels"),
    "an oversized bitmask": ("bitmasklabels", {"imageDataURL": bitmask.PREFIX + "A" * (65 << 20)}, "limit"),
}


@pytest.mark.parametrize(("kind", "value", "reason"), HOSTILE.values(), ids=HOSTILE.keys())
def test_invalid_values_are_refused(kind: str, value: dict[str, Any], reason: str) -> None:
    reading = read(kind, value)
    (sentence,) = reading.unreadable
    assert reason in sentence
    assert sentence.endswith(".")
    assert reading.label_map is None


@given(
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=6),
    st.integers(0, 99),
)
@settings(deadline=None, max_examples=100)
def test_a_damaged_bitmask_is_read_or_refused(changes: list[tuple[int, int]], cut: int) -> None:
    (written,) = bitmask.write(numbered(box(20, 50, 20, 60)))
    whole = bytearray(base64.b64decode(written["imageDataURL"][len(bitmask.PREFIX) :]))
    for place, byte in changes:
        whole[place % len(whole)] = byte
    data = bytes(whole[: len(whole) - cut])
    value = {"imageDataURL": bitmask.PREFIX + base64.b64encode(data).decode()}
    assert read("bitmasklabels", value).regions in (0, 1)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)

KEYS = ("points", "closed", "vertices", "x", "y", "width", "height", "radiusX", "radiusY", "rotation", "rle")


@given(st.sampled_from(sorted(FORMS)), st.dictionaries(st.sampled_from(KEYS), anything), anything)
@settings(deadline=None, max_examples=200)
def test_untrusted_regions_are_at_most_unreadable(kind: str, value: dict[str, Any], stray: Any) -> None:
    reading = label_map([stray], CONFIG, SIZE)
    assert reading.regions == 0
    assert read(kind, value).regions in (0, 1)


def test_readers_raise_region_errors_only() -> None:
    for reader in (bitmask.read, ellipse.read, polygon.read, rectangle.read, vector.read):
        with pytest.raises(RegionError):
            reader({}, SIZE)
    assert issubclass(rle.RleError, ValueError)
