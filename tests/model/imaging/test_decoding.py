"""Files of every format decode to the same upright grey pixels or to one clear error message."""

from __future__ import annotations

import io
import struct

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image

from model.imaging.decoding import ImageError, decode_image, image_size

GREY = (np.arange(20 * 40).reshape(20, 40) % 251).astype(np.uint8)
DEEP = GREY.astype(np.uint16) * 257 + 3


def encoded(image: Image.Image | np.ndarray, form: str = "PNG", **options: object) -> bytes:
    image = Image.fromarray(image) if isinstance(image, np.ndarray) else image
    stream = io.BytesIO()
    image.save(stream, form, **options)
    return stream.getvalue()


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    return tags.tobytes()


def upright(orientation: int) -> np.ndarray:
    """The stored pixels, oriented by Pillow's independent implementation."""
    operation = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_270,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_90,
    }
    image = Image.fromarray(GREY)
    return np.asarray(image.transpose(operation[orientation]) if orientation in operation else image)


@pytest.mark.parametrize(
    ("form", "mode"),
    [(form, mode) for form in ("PNG", "TIFF", "BMP") for mode in ("L", "RGB", "RGBA", "P", "1")]
    + [("GIF", mode) for mode in ("L", "P", "1")],
)
def test_lossless_formats_keep_grey_values(form: str, mode: str) -> None:
    stored = Image.fromarray(GREY)
    stored = stored.convert("RGB").quantize(256) if mode == "P" else stored.convert(mode)
    pixels = decode_image(encoded(stored, form))
    assert pixels.dtype == np.uint8
    np.testing.assert_array_equal(pixels, np.asarray(stored.convert("L")))


@pytest.mark.parametrize("form", ["JPEG", "WEBP"])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_lossy_formats_come_close(form: str, mode: str) -> None:
    ramp = np.tile(np.arange(0, 240, 4, dtype=np.uint8), (40, 1))
    pixels = decode_image(encoded(Image.fromarray(ramp).convert(mode), form, quality=95))
    assert np.abs(pixels.astype(int) - ramp).max() <= 6


def test_colour_becomes_itu_luma() -> None:
    colours = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], np.uint8)
    assert decode_image(encoded(colours)).tolist() == [[76, 150, 29]]


def test_cmyk_jpeg() -> None:
    pixels = decode_image(encoded(Image.new("CMYK", (16, 16), (0, 0, 0, 128)), "JPEG", quality=95))
    assert np.abs(pixels.astype(int) - 127).max() <= 3


def test_transparency_is_composited_over_black() -> None:
    half = Image.new("RGBA", (3, 2), (200, 200, 200, 128))
    assert set(np.unique(decode_image(encoded(half)))) <= {100, 101}
    assert decode_image(encoded(Image.new("LA", (3, 2), (200, 0)))).max() == 0
    hidden = encoded(Image.new("P", (3, 2), 0), transparency=0)
    assert decode_image(hidden).max() == 0
    assert set(np.unique(decode_image(encoded(half, "WEBP", lossless=True)))) <= {100, 101}


@pytest.mark.parametrize("form", ["PNG", "TIFF"])
def test_sixteen_bit_grey_is_exact(form: str) -> None:
    pixels = decode_image(encoded(DEEP, form))
    assert pixels.dtype == np.uint16
    np.testing.assert_array_equal(pixels, DEEP)


@pytest.mark.parametrize("extension", [".png", ".tiff"])
def test_sixteen_bit_colour_keeps_its_depth(extension: str) -> None:
    faint = np.arange(300, dtype=np.uint16).reshape(15, 20)
    data = cv2.imencode(extension, np.dstack([faint] * 3))[1].tobytes()
    np.testing.assert_array_equal(decode_image(data), faint)


def test_sixteen_bit_alpha_is_composited_over_black() -> None:
    opaque = np.full((4, 5), 65535, np.uint16)
    data = cv2.imencode(".png", np.dstack([opaque, opaque, opaque, opaque // 2]))[1].tobytes()
    assert set(np.unique(decode_image(data))) == {32767}


COMPRESSIONS = [None, "tiff_lzw", "tiff_adobe_deflate", "packbits"]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_compressed_tiff_of_8_and_16_bits(compression: str | None) -> None:
    for stored in (GREY, DEEP):
        pixels = decode_image(encoded(stored, "TIFF", compression=compression))
        assert pixels.dtype == stored.dtype
        np.testing.assert_array_equal(pixels, stored)


def grey_tiff(pixels: np.ndarray, *, photometric: int = 1, sample_format: int = 1) -> bytes:
    """An uncompressed TIFF of (H, W) pixels of any type, stored as they are."""
    order = ">" if pixels.dtype.str.startswith(">") else "<"
    body = pixels.tobytes()
    tags = [
        (256, pixels.shape[1]),
        (257, pixels.shape[0]),
        (258, 8 * pixels.itemsize),
        (259, 1),
        (262, photometric),
        (273, 8),
        (277, 1),
        (278, pixels.shape[0]),
        (279, len(body)),
        (339, sample_format),
    ]
    directory = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags)
    header = struct.pack(f"{order}2sHI", b"MM" if order == ">" else b"II", 42, 8 + len(body))
    return header + body + struct.pack(f"{order}H", len(tags)) + directory + bytes(4)


@pytest.mark.parametrize("kind", ["|u1", "<u2"])
def test_white_is_zero_tiff_is_inverted(kind: str) -> None:
    stored = DEEP.astype(kind)
    np.testing.assert_array_equal(decode_image(grey_tiff(stored)), stored)
    np.testing.assert_array_equal(decode_image(grey_tiff(stored, photometric=0)), ~stored)


def test_big_endian_tiff() -> None:
    np.testing.assert_array_equal(decode_image(grey_tiff(DEEP.astype(">u2"))), DEEP)


@pytest.mark.parametrize(
    ("kind", "sample_format"),
    [("|i1", 2), ("<i2", 2), ("<i4", 2), ("<u4", 1), ("<f2", 3), ("<f4", 3), ("<f8", 3)],
)
def test_pixels_without_a_known_range_are_refused(kind: str, sample_format: int) -> None:
    data = grey_tiff(GREY.astype(kind), sample_format=sample_format)
    with pytest.raises(ImageError, match="pixels: convert it to 8 or 16 bits, unsigned"):
        decode_image(data)


@pytest.mark.parametrize(("form", "options"), [("JPEG", {"progressive": True}), ("WEBP", {"lossless": True})])
def test_progressive_jpeg_and_lossless_webp(form: str, options: dict[str, object]) -> None:
    ramp = np.tile(np.arange(0, 240, 4, dtype=np.uint8), (40, 1))
    pixels = decode_image(encoded(ramp, form, quality=95, **options))
    assert np.abs(pixels.astype(int) - ramp).max() <= (6 if form == "JPEG" else 0)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("form", ["PNG", "TIFF", "JPEG"])
def test_orientation_is_applied(form: str, orientation: int) -> None:
    options: dict[str, object] = {"exif": exif(orientation)}
    if form == "JPEG":
        options["quality"] = 100
    data = encoded(GREY, form, **options)
    expected = upright(orientation)
    pixels = decode_image(data)
    assert pixels.shape == image_size(data) == expected.shape
    assert pixels.flags.c_contiguous
    assert np.abs(pixels.astype(int) - expected).max() <= (3 if form == "JPEG" else 0)


def deep_colour_tiff(pixels: np.ndarray, orientation: int) -> bytes:
    """An uncompressed TIFF of (H, W, 3) uint16, which neither library writes with an orientation."""
    height, width = pixels.shape[:2]
    body = pixels.astype("<u2").tobytes()
    bits = 8 + len(body)
    tags = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 3, bits),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, 8),
        (274, 3, 1, orientation),
        (277, 3, 1, 3),
        (278, 4, 1, height),
        (279, 4, 1, len(body)),
        (284, 3, 1, 1),
    ]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags)
    header = struct.pack("<2sHI", b"II", 42, bits + 6)
    return header + body + struct.pack("<3H", 16, 16, 16) + directory + bytes(4)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_of_sixteen_bit_colour_tiff(orientation: int) -> None:
    data = deep_colour_tiff(np.dstack([GREY.astype(np.uint16)] * 3), orientation)
    expected = upright(orientation)
    assert image_size(data) == expected.shape
    np.testing.assert_array_equal(decode_image(data), expected)


def test_orientation_of_sixteen_bit_colour_png() -> None:
    shallow = encoded(GREY, exif=exif(6))
    start = shallow.index(b"eXIf") - 4
    chunk = shallow[start : start + 12 + struct.unpack(">I", shallow[start : start + 4])[0]]
    data = cv2.imencode(".png", np.dstack([GREY.astype(np.uint16)] * 3))[1].tobytes()
    data = data[:33] + chunk + data[33:]
    assert image_size(data) == (40, 20)
    np.testing.assert_array_equal(decode_image(data), upright(6))


def test_orientation_that_browsers_ignore_is_ignored() -> None:
    turned = b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
    in_front = encoded(GREY, exif=exif(6))
    start = in_front.index(b"eXIf") - 4
    chunk = in_front[start : start + 12 + struct.unpack(">I", in_front[start : start + 4])[0]]
    behind = in_front.replace(chunk, b"")
    behind = behind[:-12] + chunk + behind[-12:]
    for data in (encoded(GREY, "JPEG", xmp=turned), encoded(GREY, "WEBP", exif=exif(6)), behind):
        assert decode_image(data).shape == image_size(data) == (20, 40)


def test_first_frame_of_animations() -> None:
    frames = [Image.fromarray(GREY), Image.fromarray(255 - GREY)]
    for form in ("GIF", "TIFF", "PNG", "WEBP"):
        options = {"lossless": True} if form == "WEBP" else {}
        data = encoded(frames[0], form, save_all=True, append_images=frames[1:], **options)
        np.testing.assert_array_equal(decode_image(data), GREY)
