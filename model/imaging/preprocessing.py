"""Preprocessing of a grey image to the network's canvas: crop, resize, stretch, CLAHE, pad.

The same steps run in training and serving. Their settings are saved with the weights, and a change to a step
or constant of this module needs a new `VERSION`. docs/preprocessing.md explains the steps and their costs.

- *Crop* removes borders without content: flat rows and columns at the image's edges, and nothing else.
- *Resize* scales the longer side of the content to a fixed size, with area averages.
- *Stretch* maps grey values to the range in which bones show, whatever the exposure.
- *CLAHE* (contrast-limited adaptive histogram equalisation) evens out the local contrast.
- *Pad* fills the canvas at the right and bottom with black, to multiples of 16.

`Frame` is the geometry of the result: it maps masks to the canvas and probabilities back to the image.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from model.imaging.borders import content_box
from model.imaging.frame import Frame, resized

__all__ = [
    "Frame",
    "PreprocessingError",
    "PreprocessingSettings",
    "normalise",
    "preprocess",
    "to_network",
]

VERSION = 1
"""Version of the preprocessing steps; weights of another version are refused."""

LARGEST_SIZE = 2**15
"""Longest side of a canvas in pixels; a card may claim any number."""

RIM = 0.06
"""Share of each side that is left out of the percentiles, as film edges and collimator borders lie there."""
TOE, SHOULDER = 8, 240
"""Grey levels of the dark and the bright percentile; values beyond them are compressed, not clipped."""
MIN_SPAN = 0.5
"""A range of grey values below half a level of the source is rounding error, not content."""


class PreprocessingError(ValueError):
    """An image or a setting cannot be used; the message is one sentence."""


@dataclass(frozen=True)
class PreprocessingSettings:
    """Settings of the preprocessing; saved with the weights, which are valid only for the same settings.

    Attributes:
        size: longer side of the content on the canvas, in pixels.
        crop: whether borders without content are cut off.
        dark_percentile: percentile of the content's grey values at the dark end of the range, in percent.
        bright_percentile: percentile at the bright end, in percent; values beyond are compressed, not
            clipped.
        clip_limit: CLAHE's clip limit, in multiples of a flat histogram's height; 0 switches CLAHE off.
        tile: side of CLAHE's tiles, in canvas pixels.
        version: version of the steps in this module; only `VERSION` is accepted.

    Raises:
        PreprocessingError: a value is out of range or the version is unknown.
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
        if not 1 <= self.size <= LARGEST_SIZE or self.tile < 1 or not self.clip_limit >= 0:
            raise PreprocessingError(
                f"The size must be from 1 to {LARGEST_SIZE}, the tile at least 1, the clip limit at least 0."
            )
        if not 0 <= self.dark_percentile < self.bright_percentile <= 100:
            raise PreprocessingError("The percentiles must rise from dark to bright, between 0 and 100.")

    def to_dict(self) -> dict[str, Any]:
        """The settings as JSON-serialisable values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> PreprocessingSettings:
        """The inverse of `to_dict`.

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
    """Make the canvas of a grey image (H, W): crop, resize, stretch, CLAHE, pad.

    Returns:
        The canvas, uint8 (h, w), both sides multiples of 16, black where padded; and the frame that maps
        masks to the canvas and probabilities back.

    Raises:
        PreprocessingError: the image is not (H, W), is empty, or is neither uint8 nor uint16.
    """
    if image.ndim != 2 or image.size == 0 or image.dtype not in (np.uint8, np.uint16):
        raise PreprocessingError(
            f"An image must be grey (H, W) of 8 or 16 bits and not empty, not {image.shape} {image.dtype}."
        )
    rows, columns = image.shape
    crop = content_box(image) if settings.crop else (0, 0, rows, columns)
    frame = Frame.fit((rows, columns), crop, settings.size)
    top, left, height, width = frame.crop
    # Area averages in float keep fractions: a nearly black film has only a few integer grey levels.
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
    """Scale a canvas (h, w) to the network's input (1, h, w) in [0, 1]; black, and so padding, is 0."""
    return np.multiply(canvas[np.newaxis], np.float32(1 / 255), dtype=np.float32)


def normalise(
    pixels: NDArray[np.float32],
    *,
    percentiles: tuple[float, float],
    clip_limit: float,
    tile: int,
) -> NDArray[np.uint8]:
    """Stretch grey values (h, w) to the range in which bones show, then even out the local contrast (CLAHE).

    The two percentiles, taken without the outer `RIM`, map to the grey levels `TOE` and `SHOULDER`. The few
    values beyond them (side markers, film edges) share the remaining levels, so a marker cannot darken the
    hand and no exposure saturates. An image of a single grey value becomes black.

    Args:
        pixels: grey values on any scale, (h, w).
        percentiles: of the dark and the bright end, in percent.
        clip_limit: CLAHE's clip limit, in multiples of a flat histogram's height; 0 switches CLAHE off.
        tile: approximate side of CLAHE's tiles, in pixels.

    Returns:
        Grey levels 0 to 255, (h, w).
    """
    grey = _stretched(pixels, percentiles)
    if clip_limit == 0 or grey.min() == grey.max():
        return grey
    return np.asarray(
        cv2.createCLAHE(clip_limit, tiles((pixels.shape[0], pixels.shape[1]), tile)).apply(grey), np.uint8
    )


def tiles(scaled: tuple[int, int], tile: int) -> tuple[int, int]:
    """CLAHE's columns and rows of tiles on content of (height, width) pixels."""
    height, width = scaled
    return max(1, round(width / tile)), max(1, round(height / tile))


def _stretched(pixels: NDArray[np.float32], percentiles: tuple[float, float]) -> NDArray[np.uint8]:
    knots = stretch(pixels, percentiles)
    if knots is None:
        return np.zeros(pixels.shape, np.uint8)
    return stretched(pixels, knots)


def stretch(
    pixels: NDArray[np.float32], percentiles: tuple[float, float]
) -> tuple[float, float, float, float] | None:
    """The grey values that become 0, `TOE`, `SHOULDER` and 255; None if all are alike."""
    darkest, brightest = float(pixels.min()), float(pixels.max())
    if brightest - darkest < MIN_SPAN:
        return None
    dark, bright = np.percentile(_inner(pixels), percentiles)
    if bright - dark < MIN_SPAN:
        dark, bright = darkest, brightest
    # Where a percentile is the extreme value, two knots would coincide and the curve be ambiguous.
    step = (brightest - darkest) * 1e-6
    return min(darkest, dark - step), float(dark), float(bright), max(brightest, bright + step)


def stretched(pixels: NDArray, knots: tuple[float, float, float, float]) -> NDArray[np.uint8]:
    """Grey values of any shape and scale, mapped through `stretch`'s knots to 0 to 255."""
    mapped: NDArray[np.float64] = np.interp(pixels, knots, (0, TOE, SHOULDER, 255))
    return np.rint(mapped).astype(np.uint8)


def _inner(pixels: NDArray[np.float32]) -> NDArray:
    """The pixels inside the rim; of large images every second row and column, which is as good and faster."""
    rows, columns = (int(RIM * side) for side in pixels.shape)
    inner = pixels[rows : pixels.shape[0] - rows, columns : pixels.shape[1] - columns]
    return inner[::2, ::2] if inner.size > 100_000 else inner
