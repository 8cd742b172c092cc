"""Figures with how sure they are: means over images, shares of annotations, two versions compared."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from ml_backend.store.edits import Help
from ml_backend.store.label_figures import label_figures
from ml_backend.store.models import Version
from ml_backend.store.states import Provenance
from ml_backend.store.version_names import IMAGE_DSC
from ml_backend.store.versions import dsc_by_task
from model.comparison import CONFIDENCE, RESAMPLES, Comparison, compare
from model.quality import MIN_IMAGES

Z = 1.959964
"""Normal quantile of a two-sided interval of 95 %."""


@dataclass(frozen=True)
class Figure:
    """A mean or a share in [0, 1], with its 95 % interval.

    Attributes:
        value: None if nothing was measured.
        low, high: the interval; None where it is not known.
        count: number of images or annotations behind it.
    """

    value: float | None
    low: float | None
    high: float | None
    count: int

    @property
    def is_telling(self) -> bool:
        """Whether there are enough images or annotations for the value to say something."""
        return self.value is not None and self.count >= MIN_IMAGES

    def __str__(self) -> str:
        """Such as "0.912 (0.884–0.935, n = 12)", or "too few to tell (n = 3)"."""
        if self.value is None:
            return "not measured"
        if not self.is_telling:
            return f"too few to tell (n = {self.count})"
        between = "" if self.low is None or self.high is None else f"{self.low:.3f}–{self.high:.3f}, "
        return f"{self.value:.3f} ({between}n = {self.count})"

    def to_dict(self) -> dict[str, Any]:
        """As JSON; the value is None where it is not telling."""
        value = self.value if self.is_telling else None
        low, high = (self.low, self.high) if self.is_telling else (None, None)
        return {"value": value, "low": low, "high": high, "count": self.count}


def mean_figure(values: Sequence[float]) -> Figure:
    """The mean of values in [0, 1], with its percentile bootstrap interval over the images."""
    return _bootstrapped(tuple(values))


@lru_cache(maxsize=4096)
def _bootstrapped(values: tuple[float, ...]) -> Figure:
    """Remembered, as the figures of a version never change and every look at the page needs them."""
    if not values:
        return Figure(None, None, None, 0)
    array = np.asarray(values, np.float64)
    drawn = np.random.default_rng(0).integers(len(array), size=(RESAMPLES, len(array)))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(array[drawn].mean(axis=1), (tail, 1 - tail))
    return Figure(float(array.mean()), float(low), float(high), len(array))


def share_figure(part: int, whole: int) -> Figure:
    """A share with Wilson's score interval (1927), which stays in [0, 1] and is right for few cases."""
    if not whole:
        return Figure(None, None, None, 0)
    share, square = part / whole, Z * Z
    centre = (share + square / (2 * whole)) / (1 + square / whole)
    half = Z / (1 + square / whole) * math.sqrt(share * (1 - share) / whole + square / (4 * whole * whole))
    return Figure(share, max(0.0, centre - half), min(1.0, centre + half), whole)


def overall(version: Version) -> Figure:
    """The validation Dice of a version over all labels."""
    found = _per_image(version)
    if found:
        return mean_figure([_mean(dsc) for dsc in found])
    images = int(version.metrics.get("validation_images", 0) or 0)
    return Figure(version.metrics.get("validation_dsc"), None, None, images)


def per_label(version: Version) -> dict[str, Figure]:
    """The validation Dice of each label of a version, over the images in which it is drawn or found.

    The count is that of the images in which it is drawn, which decides whether the figure is telling.
    """
    found = _per_image(version)
    figures = {}
    for one in label_figures(version):
        spread = mean_figure([dsc[one.label] for dsc in found if one.label in dsc])
        figures[one.label] = Figure(one.dsc, spread.low, spread.high, one.images)
    return figures


def accepted(helped: Help | None) -> Figure:
    """The share of annotations made from a version's mask that accept it unchanged."""
    if helped is None:
        return Figure(None, None, None, 0)
    return share_figure(helped.provenances[Provenance.ACCEPTED], helped.shown)


def compared(former: Version, later: Version) -> Comparison | None:
    """Two versions on the validation images that both have; None if one has no figures by image."""
    first, second = dsc_by_task(former), dsc_by_task(later)
    if not first or not second:
        return None
    both = sorted(first.keys() & second.keys())
    return compare([first[task] for task in both], [second[task] for task in both])


def _per_image(version: Version) -> list[dict[str, float]]:
    return [row["dsc"] for row in version.metrics.get(IMAGE_DSC, ())]


def _mean(dsc: dict[str, float]) -> float:
    """Mean over the labels that occur in an image; 1.0 for an image that is rightly empty."""
    return sum(dsc.values()) / len(dsc) if dsc else 1.0
