"""Decompression bombs, truncated and damaged files give pixels or an error in one sentence, nothing else."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from model.imaging.decoding import ImageError, decode_image, image_size
from tests.model.imaging.test_decoding import DEEP, GREY, encoded, exif


def png_of_size(width: int, height: int) -> bytes:
    """A PNG whose header claims any size, with almost no pixel data."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0"))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("size", [(11_000, 10_000), (60_000, 60_000), (2**31 - 1, 2**31 - 1)])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bombs_are_refused_by_their_header(size: tuple[int, int]) -> None:
    for read in (decode_image, image_size):
        with pytest.raises(ImageError, match="pixels"):
            read(png_of_size(*size))


def of_size(form: str, side: int) -> bytes:
    """A small file whose header claims `side` × `side` pixels."""
    data = bytearray(encoded(Image.fromarray(GREY).convert("RGB" if form == "WEBP" else "L"), form))
    if form == "JPEG":
        struct.pack_into(">HH", data, data.index(b"\xff\xc0") + 5, side, side)
    elif form == "BMP":
        struct.pack_into("<ii", data, 18, side, side)
    elif form == "GIF":
        struct.pack_into("<HH", data, 6, side, side)
    elif form == "WEBP":
        struct.pack_into("<HH", data, data.index(b"\x9d\x01\x2a") + 3, side, side)
    else:
        entry = struct.unpack_from("<I", data, 4)[0] + 2
        for _ in range(2):
            kind = struct.unpack_from("<H", data, entry + 2)[0]
            struct.pack_into("<I" if kind == 4 else "<H", data, entry + 8, side)
            entry += 12
    return bytes(data)


@pytest.mark.parametrize("form", ["JPEG", "TIFF", "BMP", "GIF", "WEBP"])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_bombs_of_every_format_are_refused_by_their_header(form: str) -> None:
    for side in (12_000, 16_000):
        for read in (decode_image, image_size):
            with pytest.raises(ImageError, match="pixels"):
                read(of_size(form, side))


def test_the_caller_sets_the_limit() -> None:
    assert decode_image(encoded(GREY), max_pixels=800).shape == (20, 40)
    with pytest.raises(ImageError, match="40×20 pixels, more than the 799 allowed"):
        decode_image(encoded(GREY), max_pixels=799)


@pytest.mark.parametrize(
    "data", [b"", b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7", b"\x89PNG"]
)
def test_other_data_is_reported_as_not_an_image(data: bytes) -> None:
    for read in (decode_image, image_size):
        with pytest.raises(ImageError, match=r"not an image|damaged"):
            read(data)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "TIFF", "BMP", "GIF", "WEBP"])
def test_truncated_files_are_refused(form: str) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64), np.uint8)
    data = encoded(noise, form)
    with pytest.raises(ImageError, match=r"damaged or cut short|not an image") as caught:
        decode_image(data[: len(data) // 2])
    assert "\n" not in str(caught.value)


FORMS: list[tuple[str, dict[str, object]]] = [
    ("PNG", {"exif": exif(6)}),
    ("JPEG", {"exif": exif(6)}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("TIFF", {}),
    ("GIF", {}),
    ("BMP", {}),
    ("WEBP", {}),
]
SAMPLES = [encoded(GREY, form, **options) for form, options in FORMS] + [
    cv2.imencode(".png", np.dstack([DEEP] * 3))[1].tobytes()
]


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=400, deadline=None)
@given(st.sampled_from(SAMPLES), st.data())
def test_damage_gives_pixels_or_an_image_error(sample: bytes, data: st.DataObject) -> None:
    damaged = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(sample) - 1))] = data.draw(st.integers(0, 255))
    try:
        size = image_size(bytes(damaged), max_pixels=100_000)
        pixels = decode_image(bytes(damaged), max_pixels=100_000)
    except ImageError:
        return
    assert pixels.shape == size
