"""A folder of small images with masks, for experiments that take seconds."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

IMAGES = 18


def write_small_set(folder: Path) -> None:
    """Bright ellipses on a noisy ground, 18 of them, in `images` and `masks`."""
    for name in ("images", "masks"):
        (folder / name).mkdir(parents=True)
    for number in range(IMAGES):
        rng = np.random.default_rng(number)
        image, mask = np.full((60, 52), 70, np.float32), np.zeros((60, 52), np.uint8)
        for _ in range(2):
            centre, axes = tuple(rng.integers(12, 40, 2).tolist()), tuple(rng.integers(5, 14, 2).tolist())
            cv2.ellipse(image, centre, axes, float(rng.integers(180)), 0, 360, 180, -1)
            cv2.ellipse(mask, centre, axes, 0.0, 0, 360, 255, -1)
        image += rng.normal(0, 12, image.shape)
        cv2.imwrite(str(folder / "images" / f"cell{number:02}.png"), image.clip(0, 255).astype(np.uint8))
        cv2.imwrite(str(folder / "masks" / f"cell{number:02}.png"), mask)
