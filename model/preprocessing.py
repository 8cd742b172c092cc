"""From an original image to the network's canvas: crop, resize, normalise, pad; and the way back."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from model.content import content_box
from model.frame import Frame, resized
from model.normalisation import normalise

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
