"""From an original image to the network's canvas: crop, resize, normalise, pad; and the way back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from model.imaging.frame import Frame, resized

RIM = 0.06
"""Share of each side left out of the statistics: film edges and collimator borders lie there."""

TOE, SHOULDER = 8, 240
"""Grey levels given to the two percentiles; what is darker or brighter is squeezed, never cut."""

LEAST_SPAN = 0.5
"""A span below half a grey level of the source is rounding, not a picture."""


def normalise(
    pixels: NDArray[np.float32],
    *,
    percentiles: tuple[float, float],
    clip_limit: float,
    tile: int,
) -> NDArray[np.uint8]:
    """Stretches (h, w) grey values so that bones show, then evens the contrast locally (CLAHE).

    The two `percentiles` of the inner part go to 8 and 240, and the few values beyond them (side
    markers, film edges) share what is left, so that a marker cannot darken the hand and no exposure
    saturates. Contrast-limited adaptive histogram equalisation follows, with tiles of about `tile`
    pixels a side and `clip_limit` in multiples of a flat histogram's height (0: none).
    An image of one grey value becomes black.
    """
    grey = _stretched(pixels, percentiles)
    if clip_limit == 0 or grey.min() == grey.max():
        return grey
    tiles = (max(1, round(pixels.shape[1] / tile)), max(1, round(pixels.shape[0] / tile)))
    return np.asarray(cv2.createCLAHE(clip_limit, tiles).apply(grey), np.uint8)


def _stretched(pixels: NDArray[np.float32], percentiles: tuple[float, float]) -> NDArray[np.uint8]:
    darkest, brightest = float(pixels.min()), float(pixels.max())
    if brightest - darkest < LEAST_SPAN:
        return np.zeros(pixels.shape, np.uint8)
    dark, bright = np.percentile(_inner(pixels), percentiles)
    if bright - dark < LEAST_SPAN:
        dark, bright = darkest, brightest
    # Two equal knots would make the curve ambiguous where the extremes are the percentiles.
    step = (brightest - darkest) * 1e-6
    knots = (min(darkest, dark - step), dark, bright, max(brightest, bright + step))
    return np.rint(np.interp(pixels, knots, (0, TOE, SHOULDER, 255))).astype(np.uint8)


def _inner(pixels: NDArray[np.float32]) -> NDArray:
    """The pixels off the rim; of large images every second row and column, which is as good and faster."""
    rows, columns = (int(RIM * side) for side in pixels.shape)
    inner = pixels[rows : pixels.shape[0] - rows, columns : pixels.shape[1] - columns]
    return inner[::2, ::2] if inner.size > 100_000 else inner


Box = tuple[int, int, int, int]

LOOKED_AT = 256
"""Longer side, in pixels, of the small copy on which borders are looked for."""

EMPTY_SHARE = 0.1
"""A border line is empty while its grey values span less than this share of an ordinary line's span."""

MARGIN = 0.02
"""Kept around the content, as a share of the longer side: soft tissue fades before it ends."""

SMALLEST = 0.25
"""A box of a smaller share of the image is not trusted: few objects on a plain ground are no borders."""


def content_box(image: NDArray[np.uint8 | np.uint16]) -> Box:
    """Finds the (top, left, height, width) of a (H, W) image without its empty borders, in pixels.

    From each side, lines are taken off while they are flat: dark or bright, film edge or background,
    for a bone that crosses a line would show in it. Where nothing stands out, where the rest would be
    small, or where the image is a few pixels wide, the box is the whole image.
    """
    height, width = image.shape
    whole = (0, 0, height, width)
    if min(image.shape) < 16:
        return whole
    top, bottom, left, right = _content_edges(_reduced(image))
    margin = MARGIN * max(image.shape)
    first_row, last_row = _span(image.shape[0], top, bottom, margin)
    first_column, last_column = _span(image.shape[1], left, right, margin)
    box = (first_row, first_column, last_row - first_row, last_column - first_column)
    return box if box[2] * box[3] >= SMALLEST * image.size else whole


def _reduced(image: NDArray[np.uint8 | np.uint16]) -> NDArray[np.float32]:
    # At least 3×3 pixels are averaged into one where there are more: enough against noise, and quick.
    every = max(1, max(image.shape) // (3 * LOOKED_AT))
    sampled = np.ascontiguousarray(image[::every, ::every])
    factor = min(1.0, LOOKED_AT / max(sampled.shape))
    size = (max(1, round(sampled.shape[0] * factor)), max(1, round(sampled.shape[1] * factor)))
    small = resized(sampled, size).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(small, (3, 3), 0), np.float32)


def _content_edges(pixels: NDArray[np.float32]) -> tuple[float, float, float, float]:
    """Finds top, bottom, left and right of the content, each as a share of the side in [0, 1]."""
    rows = pixels.max(axis=1) - pixels.min(axis=1)
    columns = pixels.max(axis=0) - pixels.min(axis=0)
    flat = EMPTY_SHARE * min(float(np.median(rows)), float(np.median(columns)))
    busy_rows, busy_columns = np.flatnonzero(rows > flat), np.flatnonzero(columns > flat)
    if busy_rows.size == 0 or busy_columns.size == 0:
        return 0.0, 1.0, 0.0, 1.0
    return (
        busy_rows[0] / rows.size,
        (busy_rows[-1] + 1) / rows.size,
        busy_columns[0] / columns.size,
        (busy_columns[-1] + 1) / columns.size,
    )


def _span(length: int, first: float, last: float, margin: float) -> tuple[int, int]:
    return max(0, int(first * length - margin)), min(length, int(np.ceil(last * length + margin)))


__all__ = ["Frame", "PreprocessingError", "PreprocessingSettings", "preprocess", "to_network"]

VERSION = 1


class PreprocessingError(ValueError):
    """An image or a setting that cannot be used; the message is one sentence."""


@dataclass(frozen=True)
class PreprocessingSettings:
    """How images reach the network; saved with the weights, for both must match.

    Attributes:
        size: longer side of the content on the canvas, in pixels.
        crop: whether borders without content are cut off.
        dark_percentile: percentile of the content's grey values at the dark end of the range, in percent.
        bright_percentile: percentile at the bright end, in percent; what lies beyond is squeezed, not cut.
        clip_limit: CLAHE's clip limit, in multiples of a flat histogram's height; 0 switches CLAHE off.
        tile: side of CLAHE's tiles, in canvas pixels.
        version: of the steps in this module; weights of another version are refused.
    """

    size: int = 600
    crop: bool = True
    dark_percentile: float = 1.0
    bright_percentile: float = 98.0
    clip_limit: float = 2.5
    tile: int = 75
    version: int = VERSION

    def __post_init__(self) -> None:
        if self.version != VERSION:
            raise PreprocessingError(f"Preprocessing version {self.version} is not known, only {VERSION} is.")
        if self.size < 1 or self.tile < 1 or not self.clip_limit >= 0:
            raise PreprocessingError("Size and tile must be at least 1, the clip limit at least 0.")
        if not 0 <= self.dark_percentile < self.bright_percentile <= 100:
            raise PreprocessingError("The percentiles must rise from dark to bright, between 0 and 100.")

    def to_dict(self) -> dict[str, Any]:
        """Returns the fields, ready for JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PreprocessingSettings:
        """Rebuilds settings from `to_dict`.

        Raises:
            PreprocessingError: a field is unknown, of the wrong type or out of range.
        """
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise PreprocessingError(f"Unknown preprocessing settings: {', '.join(unknown)}.")
        defaults = asdict(cls())
        for name, value in values.items():
            wanted = type(defaults[name])
            if type(value) is not wanted and not (wanted is float and type(value) is int):
                raise PreprocessingError(
                    f"The setting {name} must be of type {wanted.__name__}, not {value!r}."
                )
        return cls(**values)


def preprocess(
    image: NDArray[np.uint8 | np.uint16], settings: PreprocessingSettings
) -> tuple[NDArray[np.uint8], Frame]:
    """Makes the canvas of one (H, W) grey image: crop, resize by area, normalise, CLAHE, pad.

    Returns:
        the canvas, uint8 (h, w), both sides multiples of 16, black where padded; and the frame that
        carries masks to it and probabilities back.

    Raises:
        PreprocessingError: the image is not (H, W), empty, or neither uint8 nor uint16.
    """
    if image.ndim != 2 or image.size == 0 or image.dtype not in (np.uint8, np.uint16):
        raise PreprocessingError(
            f"An image must be grey (H, W) of 8 or 16 bits and not empty, not {image.shape} {image.dtype}."
        )
    rows, columns = image.shape
    crop = content_box(image) if settings.crop else (0, 0, rows, columns)
    frame = Frame.fit((rows, columns), crop, settings.size)
    top, left, height, width = frame.crop
    # Averages keep their fractions: a nearly black film has only a few whole grey levels.
    content = image[top : top + height, left : left + width].astype(np.float32)
    grey = normalise(
        resized(content, frame.scaled),
        percentiles=(settings.dark_percentile, settings.bright_percentile),
        clip_limit=settings.clip_limit,
        tile=settings.tile,
    )
    canvas = np.zeros(frame.canvas, np.uint8)
    canvas[: frame.scaled[0], : frame.scaled[1]] = grey
    return canvas, frame


def to_network(canvas: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Scales a (h, w) canvas to the network's input (1, h, w) in [0, 1]; 0 is black, as in padding."""
    return np.multiply(canvas[np.newaxis], np.float32(1 / 255), dtype=np.float32)
