"""Simulated annotators: given a mask and the truth, they decide what to submit; and how much work it is.

All masks are label maps (h, w) on the network's canvas, so sizes in pixels are those of the experiment's
resolution.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from model.metrics import added_path_length, boundary_pixels, mean_dice

SMALLEST_SEEN = 5
"""Connected errors of fewer pixels are too small to see."""
NEIGHBOURS = np.ones((3, 3), np.uint8)
LabelMap = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class SimulatedAnnotation:
    """The label of one image, submitted by the annotator.

    Attributes:
        image: index in the collection.
        label: label map (h, w) on the canvas.
        origin: "drawn" if no mask was shown, or a blank one; "accepted" if the shown mask was not changed.
        shown_dsc: mean Dice of the shown and the submitted mask, in [0, 1]; NaN if it was drawn.
        added_path: `added_path_length` on the canvas, in pixels.
        drawn: length of the outlines that were drawn, in pixels of the original image: the share of the
            submitted outline that was added, of the length of the truth's.
    """

    image: int
    label: LabelMap
    origin: Literal["drawn", "edited", "accepted"]
    shown_dsc: float
    added_path: int
    drawn: float


class AnnotatorBehaviour(ABC):
    """Submits a mask for an image, given the mask that is shown in it."""

    @abstractmethod
    def corrected(self, shown: LabelMap, truth: LabelMap) -> LabelMap:
        """The submitted mask (h, w) where a mask is shown."""

    def submit(self, shown: LabelMap | None, truth: LabelMap) -> LabelMap:
        """The submitted mask (h, w): the truth if nothing is shown, else `corrected`."""
        return truth if shown is None else self.corrected(shown, truth)

    def annotate(
        self, image: int, shown: LabelMap | None, truth: LabelMap, *, labels: int, boundary: float
    ) -> SimulatedAnnotation:
        """What is submitted for an image, and the work that it takes.

        Args:
            image: index in the collection.
            shown: the mask (h, w) that is shown; None or a blank one if the annotator starts from nothing.
            truth: the true mask (h, w).
            labels: number of labels without background.
            boundary: length of the truth's outlines, in pixels of the original image.
        """
        start = None if shown is None or not shown.any() else shown
        label = self.submit(start, truth)
        nothing = np.zeros_like(label)
        whole = added_path_length(nothing, label, labels)
        added = added_path_length(nothing if start is None else start, label, labels)
        return SimulatedAnnotation(
            image=image,
            label=label,
            origin="drawn" if start is None else "accepted" if np.array_equal(start, label) else "edited",
            shown_dsc=np.nan if start is None else mean_dice(start, label, labels),
            added_path=added,
            drawn=boundary * added / whole if whole else 0.0,
        )


@dataclass(frozen=True)
class Edits(AnnotatorBehaviour):
    """Corrects every error that can be seen, and leaves the others as shown.

    Two kinds of errors cannot be seen: outlines that are one pixel off, and connected errors of fewer than
    `SMALLEST_SEEN` pixels.
    """

    def corrected(self, shown: LabelMap, truth: LabelMap) -> LabelMap:
        """The truth where an error can be seen, the shown mask elsewhere."""
        wrong = shown != truth
        one_pixel_off = boundary_pixels(shown) & boundary_pixels(truth)
        far_off = (wrong & ~one_pixel_off).astype(np.uint8)
        # The whole width of a larger error is corrected, with the pixels at its two outlines.
        seen = wrong & (cv2.dilate(far_off, NEIGHBOURS) > 0)
        _, regions, statistics, _ = cv2.connectedComponentsWithStats(seen.astype(np.uint8), connectivity=8)
        large = statistics[:, cv2.CC_STAT_AREA] >= SMALLEST_SEEN
        large[0] = False
        return np.where(large[regions], truth, shown)


@dataclass(frozen=True)
class Accepts(AnnotatorBehaviour):
    """Accepts a shown mask whose mean Dice with the truth is at least `threshold`; else submits the truth."""

    threshold: float

    def corrected(self, shown: LabelMap, truth: LabelMap) -> LabelMap:
        """The shown mask or the truth."""
        labels = int(max(shown.max(), truth.max()))
        return shown if mean_dice(shown, truth, labels) >= self.threshold else truth


def parse_annotator(text: str) -> AnnotatorBehaviour:
    """The annotator of a name: `exact`, `edits`, or `accepts:T` with a Dice T in [0, 1].

    Raises:
        ValueError: there is no such annotator; the message is one sentence.
    """
    if text == "exact":
        return Accepts(math.inf)
    if text == "edits":
        return Edits()
    name, _, threshold = text.partition(":")
    try:
        if name == "accepts" and 0 <= float(threshold) <= 1:
            return Accepts(float(threshold))
    except ValueError:
        pass
    raise ValueError(f"{text} is not an annotator; give exact, edits, or accepts:0.9 with any DSC.")
