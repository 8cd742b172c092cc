"""Chromium reports the height and width that we decode; otherwise masks would be misplaced."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image
from playwright.sync_api import Browser, Page

from model.imaging.decoding import decode_image, image_size

GREY = (np.arange(20 * 40).reshape(20, 40) % 251).astype(np.uint8)
SIZE_OF = """async (address) => {
    const image = new Image();
    image.src = address;
    try { await image.decode(); } catch { return null; }
    return [image.naturalHeight, image.naturalWidth];
}"""


def encoded(form: str, mode: str = "L", **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(GREY).convert(mode).save(stream, form, **options)
    return stream.getvalue()


def exif(orientation: int) -> bytes:
    tags = Image.Exif()
    tags[ExifTags.Base.Orientation] = orientation
    return tags.tobytes()


def animated(form: str) -> bytes:
    return encoded(form, "RGB", save_all=True, append_images=[Image.fromarray(255 - GREY).convert("RGB")])


def offset_gif() -> bytes:
    """A GIF whose first frame covers only a part of its canvas."""
    data = bytearray(encoded("GIF"))
    data[6:10] = bytes([50, 0, 30, 0])
    return bytes(data)


DEEP = cv2.imencode(".png", np.dstack([GREY.astype(np.uint16) * 257] * 3))[1].tobytes()
FILES = {
    **{f"png {mode}": ("png", encoded("PNG", mode)) for mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")},
    **{f"png turned {turn}": ("png", encoded("PNG", exif=exif(turn))) for turn in (3, 6)},
    "png of 16 bits in colour": ("png", DEEP),
    "png animated": ("png", animated("PNG")),
    **{f"jpeg turned {turn}": ("jpeg", encoded("JPEG", exif=exif(turn))) for turn in range(1, 9)},
    "jpeg progressive": ("jpeg", encoded("JPEG", "RGB", progressive=True)),
    "jpeg cmyk": ("jpeg", encoded("JPEG", "CMYK")),
    "jpeg of several pictures": ("jpeg", animated("MPO")),
    "webp lossy": ("webp", encoded("WEBP", "RGB")),
    "webp lossless with alpha": ("webp", encoded("WEBP", "RGBA", lossless=True)),
    "webp turned": ("webp", encoded("WEBP", "RGB", exif=exif(6))),
    "webp animated": ("webp", animated("WEBP")),
    "bmp": ("bmp", encoded("BMP")),
    "gif animated": ("gif", animated("GIF")),
    "gif smaller than its screen": ("gif", offset_gif()),
}


@pytest.fixture(scope="module")
def blank(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    yield page
    page.close()


def natural_size(page: Page, kind: str, content: bytes) -> tuple[int, int] | None:
    """(H, W) as the browser reports it; None if it cannot decode the image."""
    address = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
    found = page.evaluate(SIZE_OF, address)
    return None if found is None else (found[0], found[1])


@pytest.mark.parametrize("name", FILES)
def test_the_browser_agrees_about_height_and_width(blank: Page, name: str) -> None:
    kind, content = FILES[name]
    assert natural_size(blank, kind, content) == image_size(content) == decode_image(content).shape


def test_browsers_do_not_show_tiff(blank: Page) -> None:
    """Such tasks get predictions, but cannot be annotated, as docs/label-studio-setup.md says."""
    content = encoded("TIFF")
    assert decode_image(content).shape == GREY.shape
    assert natural_size(blank, "tiff", content) is None
