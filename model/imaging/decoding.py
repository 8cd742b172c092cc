"""Decoding of image files to grey pixels, with the orientation that a browser applies."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF")
MAX_PIXELS = 100_000_000
"""Default limit on the pixels of an image; larger ones are refused before they are decoded."""

_DEEP_GREY = {"I;16", "I;16L", "I;16B", "I;16N"}
_TRANSPOSED = {5, 6, 7, 8}
_BITS_PER_SAMPLE, _PHOTOMETRIC, _SAMPLE_FORMAT = 258, 262, 339
_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_CONVERT = "convert it to 8 or 16 bits, unsigned"

# Beyond the documented OSError, Pillow and its codecs have been seen to raise all of these on hostile files.
DAMAGED = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    AttributeError,
    ArithmeticError,
    EOFError,
    struct.error,
    zlib.error,
    cv2.error,
)

Grey: TypeAlias = NDArray[np.uint8] | NDArray[np.uint16]


class ImageError(ValueError):
    """The data is not a usable image; the message is one sentence for the user."""


def decode_image(data: bytes, *, max_pixels: int = MAX_PIXELS) -> Grey:
    """Decode the first frame of an image file to grey values (H, W).

    Colour is converted to ITU-R 601 luma and transparency is composited over black. The orientation is
    applied as described in `image_size`, so (H, W) is the natural size that a browser reports.

    Args:
        data: the encoded file, in one of `FORMATS`.
        max_pixels: largest allowed H · W; checked on the header, before any pixel is decoded.

    Returns:
        uint16 if a channel has 16 bits, else uint8.

    Raises:
        ImageError: the data is not an image of a format in `FORMATS`, is damaged or truncated, has more than
            `max_pixels` pixels, or has signed, fractional or 32-bit pixels, whose value range is unknown.
    """
    with _opened(data, max_pixels) as image:
        if _is_signed(image):
            raise ImageError(f"The image has signed pixels: {_CONVERT}.")
        orientation = _orientation(image)
        deep_colour = _is_deep_colour(image, data)
        if image.format == "JPEG" and image.mode == "RGB":
            image.draft("L", None)
        image.load()
        pixels = _deep_luma(data) if deep_colour else _grey(image)
    return _oriented(pixels, orientation)


def image_size(data: bytes, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """The oriented size (H, W) in pixels, read from the header only.

    The orientation is read where Chromium 156 was measured to read it: EXIF of JPEG, and eXIf of PNG if it
    precedes the pixel data; not from WebP, XMP or an eXIf after the pixel data. TIFFs, which browsers do not
    show, are oriented by their tag. One rare case is not reproduced: if the EXIF contains both a density and
    the pixel size that follows from that density, Chromium reports that size instead of the stored one.

    Raises:
        ImageError: as in `decode_image`, except for damage after the header.
    """
    with _opened(data, max_pixels) as image:
        width, height = image.size
        turned = _orientation(image) in _TRANSPOSED
    return (width, height) if turned else (height, width)


def decoding_bytes(data: bytes, *, max_pixels: int = MAX_PIXELS) -> int:
    """An upper bound of the memory that `decode_image` takes, from the header only.

    Raises:
        ImageError: as `image_size`.
    """
    with _opened(data, max_pixels) as image:
        width, height = image.size
        if _is_deep_colour(image, data):
            a_pixel = 24  # four channels, three of them again, luma as integers and as fractions
        elif "A" in image.getbands() or "transparency" in image.info:
            a_pixel = 14  # the image, the black one below, both together, luma
        elif image.mode in _DEEP_GREY:
            a_pixel = 8
        else:
            a_pixel = 10  # a progressive JPEG keeps the coefficients of three channels
        return a_pixel * width * height


@contextmanager
def _opened(data: bytes, max_pixels: int) -> Iterator[Image.Image]:
    """Open the header, check the size, and convert Pillow's many exceptions to `ImageError`."""
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise ImageError(
                    f"The image has {width}×{height} pixels, more than the {max_pixels} allowed: "
                    "upload a smaller one or raise the limit."
                )
            yield image
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        if data.startswith(_TIFF_STARTS):
            raise ImageError(f"The TIFF is damaged or has an unusual kind of pixels: {_CONVERT}.") from error
        raise ImageError(f"The file is not an image of a known format ({', '.join(FORMATS)}).") from error
    except Image.DecompressionBombError as error:
        raise ImageError("The image has far more pixels than allowed: upload a smaller one.") from error
    except DAMAGED as error:
        raise ImageError(f"The image file is damaged or cut short ({error}): upload it again.") from error


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation (1 to 8) that remains to be applied.

    It is 1 for TIFFs, which Pillow and OpenCV orient themselves. Pillow's `getexif` is not used: it also
    reads XMP, and decodes a whole PNG to find an eXIf after the pixel data.
    """
    if image.format not in {"JPEG", "MPO", "PNG"} or not image.info.get("exif"):
        return 1
    exif = Image.Exif()
    exif.load(image.info["exif"])
    value = exif.get(ExifTags.Base.Orientation)
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _is_signed(image: Image.Image) -> bool:
    """Whether a TIFF has two's complement pixels, whose negative values Pillow would read as bright ones."""
    return image.format == "TIFF" and 2 in getattr(image, "tag_v2", {}).get(_SAMPLE_FORMAT, ())


def _is_deep_colour(image: Image.Image, data: bytes) -> bool:
    """Whether a colour or alpha image has 16 bits per channel, which Pillow would reduce to 8."""
    if image.mode in _DEEP_GREY:
        return False
    if image.format == "PNG":
        return data[24] == 16
    bits = getattr(image, "tag_v2", {}).get(_BITS_PER_SAMPLE, (8,)) if image.format == "TIFF" else (8,)
    return len(bits) > 1 and bits[0] == 16


def _deep_luma(data: bytes) -> Grey:
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None:
        raise ImageError("The 16-bit colour image cannot be decoded: convert it to 16-bit grey.")
    if pixels.ndim == 2:
        return np.asarray(pixels, np.uint16)
    luma = cv2.cvtColor(pixels[..., :3], cv2.COLOR_BGR2GRAY)
    if pixels.shape[2] == 4:
        luma = np.rint(luma * (pixels[..., 3] / np.float32(65535)))
    return np.asarray(luma, np.uint16)


def _grey(image: Image.Image) -> Grey:
    if image.mode in _DEEP_GREY:
        deep = np.asarray(image).astype(np.uint16)
        white_is_zero = image.format == "TIFF" and getattr(image, "tag_v2", {}).get(_PHOTOMETRIC) == 0
        return ~deep if white_is_zero else deep
    if image.mode in {"I", "F"}:
        raise ImageError(f"The image has 32-bit or fractional pixels: {_CONVERT}.")
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        black = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, rgba)
    return np.asarray(image if image.mode == "L" else image.convert("L"))


def _oriented(pixels: Grey, orientation: int) -> Grey:
    """Apply the EXIF orientation (1 to 8) to stored pixels."""
    upright: NDArray = pixels.T if orientation in _TRANSPOSED else pixels
    rows = -1 if orientation in {3, 4, 7, 8} else 1
    columns = -1 if orientation in {2, 3, 6, 7} else 1
    return np.ascontiguousarray(upright[::rows, ::columns])
