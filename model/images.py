"""Image bytes to grey pixels, exactly as a browser places them: EXIF orientation applied."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "GIF")
MAX_PIXELS = 100_000_000

_DEEP_GREY = {"I;16", "I;16L", "I;16B", "I;16N"}
_TRANSPOSED = {5, 6, 7, 8}


class ImageError(ValueError):
    """The bytes are no image that can be used; the message is one sentence for the user."""


def decode_image(data: bytes, *, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8 | np.uint16]:
    """Decodes the first frame to a grey (H, W) array, uint8, or uint16 where the file is 16-bit grey.

    Colour becomes ITU-R 601 luma, transparency is laid over black, and EXIF orientation is applied, so
    (H, W) is the natural size that a browser reports.

    Raises:
        ImageError: no image, truncated, of a format not in `FORMATS`, or of more than `max_pixels`
            pixels (read from the header, before any pixel is decoded).
    """
    with _opened(data, max_pixels) as image:
        orientation = _orientation(image)
        if image.format == "JPEG" and image.mode in {"RGB", "L"}:
            image.draft("L", None)
        pixels = _grey(image)
    return np.ascontiguousarray(_oriented(pixels, orientation))


def image_size(data: bytes, *, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Reads (H, W) after EXIF orientation from the header alone.

    Raises:
        ImageError: as `decode_image`, except for damage behind the header.
    """
    with _opened(data, max_pixels) as image:
        width, height = image.size
        return (width, height) if _orientation(image) in _TRANSPOSED else (height, width)


@contextmanager
def _opened(data: bytes, max_pixels: int) -> Iterator[Image.Image]:
    """Opens the header, checks the size, and turns Pillow's many exceptions into ours."""
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
        raise ImageError(f"The file is not an image of a known format ({', '.join(FORMATS)}).") from error
    except Image.DecompressionBombError as error:
        raise ImageError("The image has far more pixels than allowed: upload a smaller one.") from error
    except (OSError, SyntaxError, ValueError, EOFError, OverflowError) as error:
        raise ImageError(f"The image file is damaged or cut short ({error}): upload it again.") from error


def _orientation(image: Image.Image) -> int:
    value = image.getexif().get(ExifTags.Base.Orientation, 1)
    return value if value in range(1, 9) else 1


def _grey(image: Image.Image) -> NDArray[np.uint8 | np.uint16]:
    if image.mode in _DEEP_GREY:
        return np.asarray(image).astype(np.uint16)
    if image.mode in {"I", "F"}:
        raise ImageError("The image has 32-bit pixels: convert it to 8 or 16 bits.")
    if "A" in image.getbands() or "transparency" in image.info:
        rgba = image.convert("RGBA")
        black = Image.new("RGBA", rgba.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, rgba)
    return np.asarray(image if image.mode == "L" else image.convert("L"))


def _oriented(pixels: NDArray[np.uint8 | np.uint16], orientation: int) -> NDArray[np.uint8 | np.uint16]:
    """Turns stored pixels upright; `orientation` is the EXIF value 1 to 8."""
    if orientation in _TRANSPOSED:
        pixels = pixels.T
    if orientation in {2, 3, 6, 7}:
        pixels = pixels[:, ::-1]
    if orientation in {3, 4, 7, 8}:
        pixels = pixels[::-1]
    return pixels
