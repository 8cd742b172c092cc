"""The synthetic images from which `model-dir.tar.gz` was made."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

HEIGHT, WIDTH = 72, 56


def picture(number: int) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Image (72, 56) uint8 and label map: a bright upright rectangle (Bone, 1), a grey disc (Joint, 2)."""
    rng = np.random.default_rng(number)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    top, left = int(rng.integers(6, 14)), int(rng.integers(6, WIDTH - 22))
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[top : top + 26, left : left + 14] = 1
    down, right = int(rng.integers(52, 58)), int(rng.integers(14, WIDTH - 14))
    radius = int(rng.integers(7, 11))
    mask[(rows - down) ** 2 + (columns - right) ** 2 <= radius**2] = 2
    image = np.array([40, 210, 130])[mask] + rng.integers(-20, 21, mask.shape)
    return image.astype(np.uint8), mask
