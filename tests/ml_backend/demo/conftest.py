"""Own images with masks for a demo."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture
def pairs(tmp_path: Path) -> tuple[Path, Path]:
    """Folders of eight images and of their masks."""
    images, masks = tmp_path / "images", tmp_path / "masks"
    for number in range(8):
        for folder, value in ((images, 90), (masks, 255)):
            folder.mkdir(exist_ok=True)
            cv2.imwrite(str(folder / f"leg{number}.png"), np.full((30, 20), value, np.uint8))
    return images, masks
