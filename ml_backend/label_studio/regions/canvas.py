"""The label map that regions are drawn on, and which of them gets the pixels where they overlap."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from itertools import permutations
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.regions.shape import Shape, Size

Overlap = Literal["later", "smaller"]
"""Which of two overlapping regions with different labels gets the pixels: the later one in the list, or the
one with fewer pixels."""

OVERLAPS: tuple[Overlap, ...] = get_args(Overlap)
DEFAULT_OVERLAP: Overlap = "smaller"
NESTED_SHARE = 0.5
"""Share of a label's pixels within another label from which the two count as nested."""


class Canvas:
    """A label map in the making.

    Attributes:
        size: (H, W); None until the first region is drawn.
        labels: (H, W) uint8 class indices; None until the size is known.
    """

    def __init__(self, size: Size | None = None, overlap: Overlap | None = None) -> None:
        self.overlap = overlap or DEFAULT_OVERLAP
        self.size = size
        self.labels = None if size is None else np.zeros(size, np.uint8)
        self._unknown: NDArray[np.bool_] | None = None
        self._pixels: NDArray[np.uint32] | None = None
        self._areas: Counter[int] = Counter()
        self._shared: Counter[tuple[int, int]] = Counter()

    def draw(self, shape: Shape, index: int, size: Size) -> None:
        """Draw a region of a class index; `size` is that of a canvas without a size."""
        labels = self._of_size(size)
        part = _part(shape)
        pixels = int(np.count_nonzero(shape.mask))
        self._count_shared(labels[part][shape.mask], index)
        self._areas[index] += pixels
        if self.overlap == "later":
            np.copyto(labels[part], np.uint8(index), where=shape.mask)
            return
        if self._pixels is None:
            self._pixels = np.full(labels.shape, np.iinfo(np.uint32).max, np.uint32)
        on_top = shape.mask & (self._pixels[part] >= pixels)
        np.copyto(labels[part], np.uint8(index), where=on_top)
        np.copyto(self._pixels[part], np.uint32(pixels), where=on_top)

    def mark_unknown(self, shape: Shape, size: Size) -> None:
        """Note the pixels of a region without a known label; those of other regions stay known."""
        labels = self._of_size(size)
        if self._unknown is None:
            self._unknown = np.zeros(labels.shape, np.bool_)
        self._unknown[_part(shape)] |= shape.mask

    @property
    def unknown(self) -> NDArray[np.bool_] | None:
        """(H, W), true for pixels of regions without a known label that no other region covers."""
        if self._unknown is None or self.labels is None:
            return None
        free: NDArray[np.bool_] = self.labels == 0
        return self._unknown & free

    @property
    def nested(self) -> Mapping[tuple[int, int], float]:
        """Of nested labels, the share of the inner one within the other, by (inner, outer) class index."""
        found = {}
        for inner, outer in permutations(sorted(self._areas), 2):
            if self._areas[inner] <= self._areas[outer]:
                share = self._shared[min(inner, outer), max(inner, outer)] / self._areas[inner]
                if share >= NESTED_SHARE:
                    found[inner, outer] = min(share, 1.0)
        return found

    def _of_size(self, size: Size) -> NDArray[np.uint8]:
        if self.labels is None:
            self.size, self.labels = size, np.zeros(size, np.uint8)
        return self.labels

    def _count_shared(self, below: NDArray[np.uint8], index: int) -> None:
        for other, count in enumerate(np.bincount(below)):
            if count and other not in (0, index):
                self._shared[min(other, index), max(other, index)] += int(count)


def _part(shape: Shape) -> tuple[slice, slice]:
    height, width = shape.mask.shape
    return slice(shape.top, shape.top + height), slice(shape.left, shape.left + width)
