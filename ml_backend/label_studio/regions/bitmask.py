"""Bitmask regions: a PNG of the image's size as a data URI, of which the editor uses only the alpha."""

from __future__ import annotations

import base64
import io
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ml_backend.label_studio.regions.components import Parts
from ml_backend.label_studio.regions.shape import RegionError, Shape, Size, opaque
from model.imaging.decoding import DAMAGED

PREFIX = "data:image/png;base64,"
MAX_BYTES = 64 * 1024 * 1024
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SIZE_OFFSET = 16
"""Byte offset of width and height in a PNG."""


def read(value: Mapping[str, Any], size: Size) -> Shape:
    """The pixels whose alpha reaches half of the region's maximum.

    Size and length are checked before decoding.

    A PNG without transparency is refused: the editor would show the whole image as drawn.

    Raises:
        RegionError: not a PNG data URI, not the image's size, without transparency, too large, or broken.
    """
    uri = value.get("imageDataURL")
    if not isinstance(uri, str) or not uri.startswith(PREFIX):
        raise RegionError(f'The bitmask has no PNG: its imageDataURL must begin with "{PREFIX}".')
    if len(uri) > MAX_BYTES:
        raise RegionError(f"The bitmask's PNG is over the limit of {MAX_BYTES >> 20} MB.")
    try:
        data = base64.b64decode(uri[len(PREFIX) :], validate=True)
        _check_size(data, size)
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            if not image.has_transparency_data:
                raise RegionError("The bitmask's PNG has no transparency, where the editor stores the mask.")
            alphas = np.asarray(image.convert("RGBA").getchannel("A"))
    except RegionError:
        raise
    except (*DAMAGED, Image.DecompressionBombError) as error:
        raise RegionError("The bitmask's PNG is broken.") from error
    return Shape(0, 0, opaque(alphas))


def write(parts: Parts) -> list[dict[str, Any]]:
    """One PNG for each part of a mask, exactly, in their order."""
    return [as_png(parts.numbers == number) for number in range(1, parts.highest + 1)]


def as_png(mask: NDArray[np.bool_]) -> dict[str, Any]:
    """The mask (H, W) as a PNG with one bit per pixel and transparent zeros."""
    target = io.BytesIO()
    Image.fromarray(mask).save(target, "PNG", transparency=0)
    return {"imageDataURL": PREFIX + base64.b64encode(target.getvalue()).decode()}


def _check_size(data: bytes, size: Size) -> None:
    """Check the size in the header before Pillow opens the PNG, because Pillow rejects large images."""
    if not data.startswith(_SIGNATURE):
        raise RegionError("The bitmask's PNG is broken.")
    width, height = struct.unpack_from(">II", data, _SIZE_OFFSET)
    if (height, width) != size:
        raise RegionError(
            f"The bitmask has {width} × {height} pixels, but the image has {size[1]} × {size[0]}."
        )
