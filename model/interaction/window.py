"""Windows: the square part of an image on which the network corrects a mask, brought to one size."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from model.interaction.prompts import Box, Click, Extent, Prompts, Scribble, is_positive
from model.prompt_layers import BOX, CHANNELS, NEGATIVE, POSITIVE, PRESENT

SIDE = 256
"""Usual side of the network's input for a window, in pixels."""
DISK = 5
"""Radius of a click on that input, in pixels, as in RITM (Sofiiuk et al. 2022)."""
_ALIASES_FROM = 0.6
"""Images that are reduced further are smoothed first, since bilinear sampling would skip pixels."""


@dataclass(frozen=True)
class Window:
    """A square on an image, which may reach beyond its edges.

    Attributes:
        x, y: its centre, in pixels of the image.
        side: its side, in pixels of the image.
        pixels: side of the network's input, in pixels; a multiple of the network's stride.
    """

    x: float
    y: float
    side: float
    pixels: int = SIDE

    @classmethod
    def around(cls, extent: Extent, factor: float, least: float) -> Window:
        """The window with an extent in its centre.

        Args:
            extent: what it is about.
            factor: its side as a multiple of the extent's longer side.
            least: its smallest side in pixels.
        """
        return cls(*extent.centre, max(factor * extent.longer, least))

    @property
    def scale(self) -> float:
        """Pixels of the network's input per pixel of the image."""
        return self.pixels / self.side

    def image(self, grey: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The part of a grey image (H, W) as input (1, pixels, pixels) in [0, 1]; black outside the image."""
        part, matrix = self._reduced(grey)
        taken = cv2.warpAffine(part, matrix, (self.pixels, self.pixels), flags=cv2.INTER_LINEAR)
        return np.multiply(taken[np.newaxis], np.float32(1 / 255), dtype=np.float32)

    def mask(self, drawn: NDArray[np.bool_]) -> NDArray[np.float32]:
        """The part of a mask (H, W) as a map (pixels, pixels) of 0 and 1, by nearest neighbour."""
        taken = cv2.warpAffine(
            drawn.view(np.uint8), self._matrix(), (self.pixels, self.pixels), flags=cv2.INTER_NEAREST
        )
        return np.asarray(taken, np.float32)

    def maps(self, present: NDArray[np.bool_], prompts: Prompts) -> NDArray[np.float32]:
        """The maps beside the image, (CHANNELS, pixels, pixels) of 0 and 1, without marks outside the window.

        Args:
            present: (H, W), the mask so far.
            prompts: marks, in pixels of the image.
        """
        maps = np.zeros((CHANNELS, self.pixels, self.pixels), np.float32)
        maps[PRESENT] = self.mask(present)
        for mark in prompts:
            channel = maps[BOX if isinstance(mark, Box) else POSITIVE if is_positive(mark) else NEGATIVE]
            if isinstance(mark, Scribble):
                np.maximum(channel, self.mask(mark.drawn), out=channel)
            elif isinstance(mark, Click):
                x, y = self._to_input(mark.x, mark.y)
                if -DISK < x < self.pixels + DISK and -DISK < y < self.pixels + DISK:
                    cv2.circle(channel, (int(x), int(y)), DISK, 1.0, -1)
            else:
                corners = (*self._to_input(mark.left, mark.top), *self._to_input(mark.right, mark.bottom))
                left, top, right, bottom = (round(min(max(edge, 0), self.pixels)) for edge in corners)
                channel[top:bottom, left:right] = 1
        return maps

    def back(
        self, probabilities: NDArray[np.float32], shape: tuple[int, int]
    ) -> tuple[NDArray[np.float32], Extent]:
        """Probabilities (pixels, pixels) of the window at the resolution of an image of `shape`.

        Returns:
            The probabilities (h, w) of the window's pixels on the image, and which pixels these are. The
            extent is empty if the window lies beside the image.
        """
        half = self.side / 2
        inside = Extent(
            max(0, round(self.y - half)),
            min(shape[0], round(self.y + half)),
            max(0, round(self.x - half)),
            min(shape[1], round(self.x + half)),
        )
        size = (max(0, inside.right - inside.left), max(0, inside.bottom - inside.top))
        if not all(size):
            return np.zeros(size[::-1], np.float32), inside
        matrix = self._matrix(inside.left, inside.top)
        found = cv2.warpAffine(
            probabilities,
            matrix,
            size,
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )
        return np.asarray(found, np.float32), inside

    def _to_input(self, x: float, y: float) -> tuple[float, float]:
        """A position on the image as one on the network's input, both with pixel edges at whole numbers."""
        half = self.side / 2
        return (x - self.x + half) * self.scale, (y - self.y + half) * self.scale

    def _matrix(self, left: int = 0, top: int = 0) -> NDArray[np.float64]:
        """The map from pixel centres of the image, counted from (left, top), to those of the input (2, 3)."""
        x, y = self._to_input(left + 0.5, top + 0.5)
        return np.array([[self.scale, 0, x - 0.5], [0, self.scale, y - 0.5]])

    def _reduced(self, grey: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
        """The image and the map from it to the input; a smoothed part if pixels would be skipped."""
        if self.scale >= _ALIASES_FROM:
            return grey, self._matrix()
        margin = self.side / 2 + 3 / self.scale
        top, left = max(0, int(self.y - margin)), max(0, int(self.x - margin))
        part = grey[top : int(self.y + margin) + 1, left : int(self.x + margin) + 1]
        if not part.size:
            return grey, self._matrix()
        return np.asarray(cv2.GaussianBlur(part, (0, 0), 0.4 / self.scale)), self._matrix(left, top)
