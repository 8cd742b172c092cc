"""Prompts: the marks by which a person says which pixels belong to a label, and which do not."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


class PromptError(ValueError):
    """A prompt cannot be used; the message is one sentence that says which and why."""


@dataclass(frozen=True)
class Click:
    """A point on an image.

    Attributes:
        x, y: position in pixels of the image, to the right and down; the first pixel covers 0 to 1.
        positive: whether the point belongs to the label.

    Raises:
        PromptError: the position is not finite.
    """

    x: float
    y: float
    positive: bool = True

    def __post_init__(self) -> None:
        if not (math.isfinite(self.x) and math.isfinite(self.y)):
            raise PromptError(f"A click at {self.x}, {self.y} is nowhere; give two finite numbers.")


@dataclass(frozen=True)
class Box:
    """A rectangle around an object; coordinates as those of `Click`.

    Attributes:
        left, top, right, bottom: its edges in pixels.

    Raises:
        PromptError: an edge is not finite, or the box has no area.
    """

    left: float
    top: float
    right: float
    bottom: float

    def __post_init__(self) -> None:
        edges = (self.left, self.top, self.right, self.bottom)
        if not all(map(math.isfinite, edges)) or self.left >= self.right or self.top >= self.bottom:
            raise PromptError(
                f"A box with the edges {', '.join(f'{edge:g}' for edge in edges)} has no area; "
                "give left, top, right and bottom in this order."
            )


@dataclass(frozen=True, eq=False)
class Scribble:
    """Pixels that were painted over.

    Attributes:
        drawn: (H, W), whether a pixel of the image was painted over; at least one was.
        positive: whether these pixels belong to the label.

    Raises:
        PromptError: nothing was painted over.
    """

    drawn: NDArray[np.bool_] = field(repr=False)
    positive: bool = True

    def __post_init__(self) -> None:
        if self.drawn.ndim != 2 or not self.drawn.any():
            raise PromptError("A scribble covers no pixel of the image; paint over what it is about.")


Mark = Click | Box | Scribble

Prompts = tuple[Mark, ...]
"""All marks for one object, the newest last: only the newest may change what it is about."""


@dataclass(frozen=True)
class Extent:
    """A rectangle of pixels of an image, as slices take them.

    Attributes:
        top, bottom, left, right: first row, row after the last, and the same of columns.
    """

    top: int
    bottom: int
    left: int
    right: int

    @property
    def longer(self) -> int:
        """The longer side, in pixels."""
        return max(self.bottom - self.top, self.right - self.left)

    @property
    def centre(self) -> tuple[float, float]:
        """The position (x, y) of its centre, in pixels."""
        return (self.left + self.right) / 2, (self.top + self.bottom) / 2

    @property
    def slices(self) -> tuple[slice, slice]:
        """Rows and columns."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def including(self, other: Extent) -> Extent:
        """The smallest extent with both."""
        return Extent(
            min(self.top, other.top),
            max(self.bottom, other.bottom),
            min(self.left, other.left),
            max(self.right, other.right),
        )

    @classmethod
    def of(cls, drawn: NDArray[np.bool_]) -> Extent | None:
        """That of the pixels of a mask (H, W); None if it is empty."""
        rows, columns = np.flatnonzero(drawn.any(1)), np.flatnonzero(drawn.any(0))
        if not len(rows):
            return None
        return cls(int(rows[0]), int(rows[-1]) + 1, int(columns[0]), int(columns[-1]) + 1)


def extent(mark: Mark, shape: tuple[int, int]) -> Extent:
    """The pixels of an image of `shape` (height, width) that a mark touches: at least one.

    Raises:
        PromptError: the mark lies beside the image, or a scribble has another size than the image.
    """
    height, width = shape
    if isinstance(mark, Scribble):
        if mark.drawn.shape != shape:
            raise PromptError(
                f"A scribble of {mark.drawn.shape[1]}×{mark.drawn.shape[0]} pixels does not fit an image of "
                f"{width}×{height}; paint on the image itself."
            )
        found = Extent.of(mark.drawn)
        assert found is not None  # guaranteed by Scribble
        return found
    if isinstance(mark, Click):
        left, top = math.floor(mark.x), math.floor(mark.y)
        right, bottom = left + 1, top + 1
        # A click on the very edge is on the last pixel.
        if mark.x == width:
            left, right = width - 1, width
        if mark.y == height:
            top, bottom = height - 1, height
    else:
        left, top = math.floor(mark.left), math.floor(mark.top)
        right, bottom = math.ceil(mark.right), math.ceil(mark.bottom)
    inside = Extent(max(top, 0), min(bottom, height), max(left, 0), min(right, width))
    if inside.top >= inside.bottom or inside.left >= inside.right:
        named = (
            f"A click at {mark.x:g}, {mark.y:g}"
            if isinstance(mark, Click)
            else f"A box with the edges {mark.left:g}, {mark.top:g}, {mark.right:g}, {mark.bottom:g}"
        )
        raise PromptError(f"{named} lies beside the image of {width}×{height} pixels; mark the image itself.")
    return inside


def is_positive(mark: Mark) -> bool:
    """Whether a mark adds to the label; a box does."""
    return mark.positive if isinstance(mark, Click | Scribble) else True
