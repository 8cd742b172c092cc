"""Bitmask regions: a PNG of the image's size as a data URI, of which the editor looks at the alpha alone."""

from __future__ import annotations

import base64
import binascii
import io
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from .shape import RegionError, Shape, Size

PREFIX = "data:image/png;base64,"
THRESHOLD = 128
"""Least alpha that counts as drawn: round strokes have soft edges."""
MOST_BYTES = 64 * 1024 * 1024


def read(value: Mapping[str, Any], size: Size) -> Shape:
    """The pixels whose alpha reaches the threshold; size and bytes are checked before anything is decoded.

    A PNG without transparency is refused: the editor would show the whole image as drawn.

    Raises:
        RegionError: no PNG in a data URI, another size than the image's, too large, or broken.
    """
    uri = value.get("imageDataURL")
    if not isinstance(uri, str) or not uri.startswith(PREFIX):
        raise RegionError(f"The bitmask holds no PNG: its imageDataURL must begin with {PREFIX}")
    if len(uri) > MOST_BYTES:
        raise RegionError(f"The bitmask's PNG is over the limit of {MOST_BYTES >> 20} MB.")
    try:
        data = base64.b64decode(uri[len(PREFIX) :], validate=True)
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            _check(image, size)
            alphas = np.asarray(image.convert("RGBA").getchannel("A"))
    except (binascii.Error, UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        if isinstance(error, RegionError):
            raise
        raise RegionError("The bitmask's PNG is broken.") from error
    return Shape(0, 0, alphas >= THRESHOLD)


def write(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """The mask (H, W) as a PNG of one bit a pixel whose zeros are transparent."""
    target = io.BytesIO()
    Image.fromarray(mask).save(target, "PNG", transparency=0)
    return {"imageDataURL": PREFIX + base64.b64encode(target.getvalue()).decode()}


def _check(image: Image.Image, size: Size) -> None:
    if image.size != size[::-1]:
        raise RegionError(
            f"The bitmask has {image.width} × {image.height} pixels, but the image has {size[1]} × {size[0]}."
        )
    if not image.has_transparency_data:
        raise RegionError("The bitmask's PNG has no transparency, which is where the editor keeps the mask.")
