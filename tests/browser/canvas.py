"""Reads what Label Studio's editor shows on its page."""

from __future__ import annotations

import colorsys
import io
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import Locator, Page, expect

GREY = 12
"""Largest difference between the three channels of a pixel that counts as grey."""


def label_as_displayed(page: Page) -> None:
    """Start labelling in the order of the open view."""
    page.get_by_role("button", name="Label All Tasks").locator("xpath=following-sibling::button").click()
    page.get_by_text("Label Tasks As Displayed").click()


def opened_task(page: Page) -> Locator:
    """The element with the id of the editor's task."""
    return page.locator(".lsf-current-task__task-id")


def screen(page: Page) -> NDArray[np.uint8]:
    """A screenshot of the image with what is drawn on it, (H, W, 3)."""
    box = page.locator('img[alt="image"]').bounding_box()
    assert box is not None
    return np.asarray(Image.open(io.BytesIO(page.screenshot(clip=box))).convert("RGB"))


def stroke(page: Page) -> None:
    """Draw a short line with the first label's brush, in the upper left of the image."""
    image = page.locator('img[alt="image"]')
    expect(image).to_be_visible()
    box = image.bounding_box()
    assert box is not None
    page.keyboard.press("1")
    page.mouse.move(box["x"] + box["width"] * 0.1, box["y"] + box["height"] * 0.1)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.2, box["y"] + box["height"] * 0.2, steps=8)
    page.mouse.up()


def painted(pixels: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Mask (H, W) of the pixels of a screenshot (H, W, 3) that are not grey."""
    colourful: NDArray[np.bool_] = pixels.max(axis=2).astype(int) - pixels.min(axis=2) > GREY
    return colourful


def hue_distance(pixels: NDArray[np.uint8], colour: str) -> NDArray[np.float64]:
    """Distance (H, W), in degrees, of a screenshot's (H, W, 3) hues from that of a colour such as #e8772e."""
    hues = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)[..., 0].astype(float) * 2
    wanted = colorsys.rgb_to_hsv(*(int(colour[start : start + 2], 16) for start in (1, 3, 5)))[0] * 360
    distance: NDArray[np.float64] = np.abs((hues - wanted + 180) % 360 - 180)
    return distance


def resized(mask: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """A mask or label map (H, W), resized to the shape of a screenshot."""
    height, width = shape
    return np.asarray(cv2.resize(mask.astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST))
