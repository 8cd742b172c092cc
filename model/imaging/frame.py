"""The geometric mapping between an original image and the network's canvas, in both directions."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

MULTIPLE = 16
"""Both sides of a canvas are multiples of this: a network of five levels halves them without remainder."""


@dataclass(frozen=True)
class Frame:
    """Position of a canvas on its original image; all sizes are (height, width) in pixels.

    Pixel edges are aligned: the pixel centre x + 0.5 of the crop maps to (x + 0.5) · scaled / crop on the
    canvas, so there is no shift by half a pixel in either direction.

    Attributes:
        original: size of the image.
        crop: (top, left, height, width) of the content on the image.
        scaled: size of the content on the canvas, at the top left.
        canvas: size of the canvas; it is padded to the right of and below the content.
    """

    original: tuple[int, int]
    crop: tuple[int, int, int, int]
    scaled: tuple[int, int]
    canvas: tuple[int, int]

    @classmethod
    def fit(cls, original: tuple[int, int], crop: tuple[int, int, int, int], size: int) -> Frame:
        """The frame that scales the longer side of `crop` to `size` pixels and keeps the aspect ratio.

        The scaled sides are rounded to whole pixels, and the canvas is padded at the right and bottom to the
        next multiples of `MULTIPLE`.
        """
        factor = size / max(crop[2:])
        height, width = (max(1, round(side * factor)) for side in crop[2:])
        canvas = (-(-height // MULTIPLE) * MULTIPLE, -(-width // MULTIPLE) * MULTIPLE)
        return cls(original, crop, (height, width), canvas)

    def forward_mask(self, labels: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Map a label map (H, W) of the original to the canvas by nearest neighbour; padding is background.

        Raises:
            ValueError: the shape is not `original`.
        """
        if labels.shape != self.original:
            raise ValueError(f"The mask has the shape {labels.shape}, but the image has {self.original}.")
        # Not cv2.INTER_NEAREST_EXACT: it reads beyond the image for sides over 32767 pixels.
        rows, columns = (
            start + ((np.arange(scaled) + 0.5) * (length / scaled)).astype(np.intp)
            for start, length, scaled in zip(self.crop[:2], self.crop[2:], self.scaled, strict=True)
        )
        canvas = np.zeros(self.canvas, np.uint8)
        canvas[: self.scaled[0], : self.scaled[1]] = labels[np.ix_(rows, columns)]
        return canvas

    def back(self, probabilities: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map probabilities (C, h, w) in [0, 1] of the canvas to (C, H, W) of the original.

        Outside the crop the background, class 0, has probability 1.

        Raises:
            ValueError: a channel does not have the shape `canvas`.
        """
        result = np.empty((len(probabilities), *self.original), np.float32)
        for index, channel in enumerate(probabilities):
            self._paste(channel, result[index], outside=1.0 if index == 0 else 0.0)
        return result

    def back_channel(self, channel: NDArray[np.float32], outside: float = 0.0) -> NDArray[np.float32]:
        """Map one channel (h, w) of the canvas to (H, W) of the original; `outside` fills the rest.

        Raises:
            ValueError: the shape is not `canvas`.
        """
        result = np.empty(self.original, np.float32)
        self._paste(channel, result, outside)
        return result

    def back_part(
        self, channel: NDArray[np.float32], least: float
    ) -> tuple[tuple[slice, slice], NDArray[np.float32]]:
        """The part of `back_channel` that contains all of its values of at least `least`.

        Of a label that covers a small box of the image, only that box is computed.

        Args:
            channel: (h, w) of the canvas, in [0, 1].
            least: above 0.

        Returns:
            Rows and columns of the original, and the values there; nothing if no value reaches `least`.

        Raises:
            ValueError: the shape is not `canvas`.
        """
        content = self._content(channel)
        left, top, across, along = cv2.boundingRect((content >= least).view(np.uint8))
        size = self.crop[2:]
        if not across:
            return (slice(0, 0), slice(0, 0)), np.empty((0, 0), np.float32)
        rows = _reach(top, top + along, self.scaled[0], size[0])
        columns = _reach(left, left + across, self.scaled[1], size[1])
        shrinks = size[0] < self.scaled[0] or size[1] < self.scaled[1]
        is_large = 2 * (rows[1] - rows[0]) * (columns[1] - columns[0]) > size[0] * size[1]
        # Of a single row or column OpenCV rounds differently; neither is worth a case of its own.
        if shrinks or is_large or min(self.scaled) < 2:
            return self._window, resized(content, size)
        return (
            slice(self.crop[0] + rows[0], self.crop[0] + rows[1]),
            slice(self.crop[1] + columns[0], self.crop[1] + columns[1]),
        ), _enlarged_part(content, size, rows, columns)

    def part_means(self, channel: NDArray[np.float32], parts: NDArray[np.uint8]) -> list[float]:
        """Means of a channel (h, w) of the canvas over parts of the original.

        Args:
            channel: of the canvas.
            parts: (H, W), 1 to n for the pixels of n parts, 0 beside them.

        Returns:
            n means; 0 for a number that no pixel has. A part is sampled at the pixels that canvas pixels are
            taken from; one between them, at each of its own.

        Raises:
            ValueError: the shapes are not `canvas` and `original`.
        """
        content, numbers = self._content(channel), self.forward_mask(parts)
        highest = int(parts.max(initial=0))
        left, top, across, along = cv2.boundingRect(numbers)
        box = np.s_[top : top + along, left : left + across]
        sizes, sums = _tallied(numbers[box], content[box], highest)
        missed = sizes == 0
        missed[0] = False
        if missed.any():
            rows, columns = np.nonzero(missed[parts])
            few = content[self._nearest(rows, 0), self._nearest(columns, 1)]
            more_sizes, more_sums = _tallied(parts[rows, columns], few, highest)
            sizes, sums = sizes + more_sizes * missed, sums + more_sums * missed
        means: list[float] = (sums[1:] / np.maximum(sizes[1:], 1)).tolist()
        return means

    def _nearest(self, places: NDArray[np.intp], axis: int) -> NDArray[np.intp]:
        """The rows (axis 0) or columns (1) of the canvas's content nearest to those of the original."""
        factor = self.scaled[axis] / self.crop[2 + axis]
        found: NDArray[np.intp] = ((places - self.crop[axis] + 0.5) * factor).astype(np.intp)
        return found.clip(0, self.scaled[axis] - 1)

    def _content(self, channel: NDArray[np.float32]) -> NDArray[np.float32]:
        if channel.shape != self.canvas:
            raise ValueError(f"The channel has the shape {channel.shape}, but the canvas has {self.canvas}.")
        return np.ascontiguousarray(channel[: self.scaled[0], : self.scaled[1]], np.float32)

    def _paste(self, channel: NDArray[np.float32], target: NDArray[np.float32], outside: float) -> None:
        top, left, height, width = self.crop
        content = self._content(channel)
        target[:top] = outside
        target[top + height :] = outside
        target[top : top + height, :left] = outside
        target[top : top + height, left + width :] = outside
        target[self._window] = resized(content, (height, width))

    @property
    def _window(self) -> tuple[slice, slice]:
        top, left, height, width = self.crop
        return slice(top, top + height), slice(left, left + width)


def resized(pixels: NDArray, size: tuple[int, int]) -> NDArray:
    """Resize pixels (h, w) to `size` (height, width): area averages if a side shrinks, else bilinear."""
    if pixels.shape == size:
        return pixels
    shrinks = size[0] < pixels.shape[0] or size[1] < pixels.shape[1]
    interpolation = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(pixels, (size[1], size[0]), interpolation=interpolation))


def _tallied(
    numbers: NDArray[np.uint8], values: NDArray[np.float32], highest: int
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """How often each number up to `highest` occurs, and the sum of the values at its pixels."""
    flat = numbers.ravel()
    return (
        np.bincount(flat, minlength=highest + 1),
        np.asarray(np.bincount(flat, weights=values.ravel(), minlength=highest + 1), np.float64),
    )


Span = tuple[int, int]
"""First row or column, and the one behind the last."""


def _reach(first: int, last: int, scaled: int, size: int) -> Span:
    """The span, of `size` pixels, whose bilinear values depend on canvas pixels `first` to `last`, exclusive.

    At least two pixels, since OpenCV rounds differently when it resizes a single row or column.
    """
    factor = size / scaled
    start = max(0, math.floor((first - 0.5) * factor - 0.5))
    stop = min(size, math.ceil((last + 0.5) * factor - 0.5) + 1)
    return max(0, min(start, size - 2)), max(stop, min(size, start + 2))


def _enlarged_part(
    pixels: NDArray[np.float32], size: tuple[int, int], rows: Span, columns: Span
) -> NDArray[np.float32]:
    """`resized(pixels, size)[rows, columns]`, to the bit, of an enlarged map, at the cost of this part.

    OpenCV computes the columns of each row, then the rows. Doing so one after the other, the first step needs
    only the rows that `rows` depend on, and the second only `columns`.
    """
    height = len(pixels)
    factor = height / size[0]
    first = max(0, min(math.floor((rows[0] + 0.5) * factor - 0.5), height - 2))
    last = min(height, max(math.ceil((rows[1] - 0.5) * factor - 0.5) + 1, first + 2))
    wide = resized(pixels[first:last], (last - first, size[1]))
    # Rows keep their place, and so their weights, in a map of full height.
    tall = np.zeros((height, columns[1] - columns[0]), np.float32)
    tall[first:last] = wide[:, columns[0] : columns[1]]
    return np.asarray(resized(tall, (size[0], tall.shape[1]))[rows[0] : rows[1]], np.float32)
