"""Borders are removed, and nothing else."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from model.imaging.borders import content_box
from model.imaging.decoding import decode_image

DATA = Path(os.environ.get("DSAL_DATA", Path(__file__).parents[4] / "shared" / "data"))


@pytest.mark.parametrize("border", [0, 90, 255])
def test_empty_borders_are_removed_and_content_stays(border: int) -> None:
    y, x = np.mgrid[:500, :400].astype(np.float32)
    limb = 0.1 + 0.3 * (np.abs(x - 200) < 100) + 0.25 * ((np.abs(x - 200) < 33) & (np.abs(y - 250) < 167))
    noise = np.random.default_rng(0).normal(0, 0.005, limb.shape)
    grey = ((limb + noise) * 255).clip(0, 255).astype(np.uint8)
    bordered = cv2.copyMakeBorder(grey, 120, 60, 80, 100, cv2.BORDER_CONSTANT, value=border)
    image = np.asarray(bordered, np.uint8)
    top, left, height, width = content_box(image)
    assert top <= 120
    assert left <= 80
    assert top + height >= 620
    assert left + width >= 480
    assert height <= 540
    assert width <= 440


def test_small_objects_on_a_plain_background_are_not_cropped() -> None:
    image = np.zeros((256, 256), np.uint8)
    cv2.circle(image, (128, 120), 15, 200, -1)
    assert content_box(image) == (0, 0, 256, 256)


@pytest.mark.parametrize("folder", ["hand-bones", "oai-longleg", "dsb2018-nuclei"])
def test_no_mask_pixel_of_real_images_is_lost(folder: str) -> None:
    files = sorted((DATA / folder / "images").glob("*"))
    if not files:
        pytest.skip(f"{folder} is not available")
    shares = []
    for path in files:
        image = decode_image(path.read_bytes())
        mask = decode_image((path.parents[1] / "masks" / path.name).read_bytes()) > 0
        top, left, height, width = content_box(image)
        shares.append(height * width / image.size)
        assert mask[top : top + height, left : left + width].sum() == mask.sum(), path.name
    if folder == "dsb2018-nuclei":
        assert np.mean(shares) > 0.98
