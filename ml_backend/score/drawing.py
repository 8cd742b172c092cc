"""Whether and how annotators are shown a mask: by the estimate of its real Dice, and fit for editing.

Correcting a bad mask costs more than drawing a new one. A version whose masks are below MASK_FLOOR still
orders the tasks, but they open empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.config import LabelConfig, LabelConfigError, parse
from ml_backend.label_studio.regions.masks import results
from ml_backend.label_studio.regions.probability import Probabilities
from ml_backend.label_studio.regions.tidying import Limits, tidied
from ml_backend.settings import Settings
from ml_backend.store.models import Version
from ml_backend.store.scores import ShownCounts
from ml_backend.store.version_names import CALIBRATION
from model.quality import Calibration, rough_estimate
from model.strategies import Measurement


@dataclass(frozen=True)
class Quality:
    """What is known about the quality of a version's masks.

    Attributes:
        calibration: fitted on its validation images; None if they were too few.
        images: number of its validation images.
        dsc: their mean Dice; 0 if there are none.
        is_trained: whether the version learned from labels of its project.
    """

    calibration: Calibration | None = None
    images: int = 0
    dsc: float = 0.0
    is_trained: bool = False

    @classmethod
    def of(cls, version: Version) -> Quality:
        """What the version's metrics say."""
        known = version.metrics.get(CALIBRATION)
        dsc = version.metrics.get("validation_dsc")
        return cls(
            None if known is None else Calibration.from_dict(known),
            0 if dsc is None else int(version.metrics.get("validation_images", 0)),
            dsc or 0.0,
            bool(version.labels_used),
        )

    @property
    def margin(self) -> float | None:
        """The margin of its estimates; None if they are rough."""
        return None if self.calibration is None else self.calibration.margin

    def estimate(self, measurement: Measurement) -> float | None:
        """Estimated real Dice of an image's mask, in [0, 1]; None for a blank mask.

        Without a calibration it is the mean Dice of the validation images and of one more, whose Dice is
        estimated roughly (`model.quality.rough_estimate`).
        """
        if measurement.consistency.blank:
            return None
        confidence = measurement.confidence
        if self.calibration is not None:
            return self.calibration.estimate(confidence).dsc
        rough = rough_estimate(confidence, is_trained=self.is_trained)
        return (self.images * self.dsc + rough) / (self.images + 1)

    def in_words(self, estimate: float | None) -> str:
        """The estimate of a mask's Dice for annotators; empty if there is none."""
        if estimate is None:
            return ""
        if self.margin is None:
            return f"Estimated DSC as drawn: roughly {estimate:.2f}"
        low, high = max(estimate - self.margin, 0.0), min(estimate + self.margin, 1.0)
        return f"Estimated DSC as drawn: {estimate:.2f} ({low:.2f} to {high:.2f})"


@dataclass(frozen=True)
class Drawing:
    """How the masks of one version are shown in one project.

    Attributes:
        floor: estimated Dice that a mask needs to be shown, in [0, 1].
        limits: what a shown mask keeps to.
        quality: of the version's masks.
    """

    floor: float
    limits: Limits
    quality: Quality

    @classmethod
    def of(cls, settings: Settings, version: Version) -> Drawing:
        """How a version's masks are shown under the settings of its project (`Settings.for_project`)."""
        return cls(settings.mask_floor, limits(settings), Quality.of(version))

    def hides(self, estimate: float | None) -> bool:
        """Whether a mask with this estimate is not shown; a blank one has nothing to hide."""
        return estimate is not None and estimate < self.floor

    def regions(
        self,
        labels: NDArray[np.uint8],
        config: LabelConfig,
        probabilities: Probabilities | None = None,
        estimate: float | None = None,
    ) -> list[dict[str, Any]]:
        """The regions that show a label map (H, W), each with its probability and the mask's estimate.

        Args:
            labels: class indices of the config's labels.
            config: the labeling config.
            probabilities: of the label map's parts, None if unknown.
            estimate: of the mask's real Dice, None if unknown.
        """
        return results(
            tidied(labels, self.limits),
            config,
            probabilities,
            points=self.limits.points,
            note=self.quality.in_words(estimate),
        )


def in_words(version: Version, shown: ShownCounts, floor: float) -> str:
    """One sentence that says on how many tasks a version draws masks, and why not on the others.

    Args:
        version: has weights.
        shown: what is shown of its masks.
        floor: the project's MASK_FLOOR.
    """
    total = shown.drawn + shown.hidden + shown.blank
    below = "" if shown.hidden_quality is None else f"estimated DSC {shown.hidden_quality:.2f}"
    nothing = f"it finds nothing on {shown.blank}" if shown.blank else ""
    if shown.hidden and not shown.drawn:
        why = "; ".join(filter(None, (f"{below} is below MASK_FLOOR {floor:g}", nothing)))
        return f"{version.name} orders the tasks but draws no masks: {why}."
    are = "is" if shown.hidden == 1 else "are"
    hidden = f"{shown.hidden} {are} below MASK_FLOOR {floor:g} ({below} on average)" if shown.hidden else ""
    reasons = "; ".join(filter(None, (hidden, nothing)))
    return f"{version.name} draws masks on {shown.drawn} of {total} tasks{reasons and ': '}{reasons}."


def project_floor(settings: Settings, label_config: str) -> float:
    """MASK_FLOOR of a project, by its labeling config; that of the settings if the config cannot be used."""
    try:
        return settings.for_project(parse(label_config).knobs.overrides).mask_floor
    except LabelConfigError:
        return settings.mask_floor


def limits(settings: Settings) -> Limits:
    """What shown masks keep to under the settings of a project."""
    return Limits(settings.smallest_region, settings.max_regions, settings.max_points)
