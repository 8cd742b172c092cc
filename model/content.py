"""Where the content of an image lies: borders that carry nothing are cut off, and nothing else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def content_box(image: NDArray[np.uint8 | np.uint16]) -> tuple[int, int, int, int]:
    """Finds (top, left, height, width) of a (H, W) image without its uniform border rows and columns.

    The whole image where nothing stands out.
    """
    height, width = image.shape
    rows = np.flatnonzero(image.min(axis=1) != image.max(axis=1))
    columns = np.flatnonzero(image.min(axis=0) != image.max(axis=0))
    if rows.size == 0 or columns.size == 0:
        return 0, 0, height, width
    top, left = int(rows[0]), int(columns[0])
    return top, left, int(rows[-1]) - top + 1, int(columns[-1]) - left + 1
