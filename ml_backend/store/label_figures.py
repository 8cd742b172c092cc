"""The validation Dice of each label of a version, which its mean over labels may hide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ml_backend.store.models import Version
from ml_backend.store.version_names import LABEL_DSC, LABEL_IMAGES
from model.quality import MIN_IMAGES

POOR = 0.3
"""Validation Dice below which a label is named as hardly learned."""


@dataclass(frozen=True)
class LabelFigure:
    """One label of a version.

    Attributes:
        label: its name.
        dsc: mean Dice over the validation images in which it occurs, drawn or found, in [0, 1]; None if it
            occurs in none.
        images: number of validation images in which it is drawn.
    """

    label: str
    dsc: float | None
    images: int

    @property
    def is_telling(self) -> bool:
        """Whether enough validation images contain the label for its Dice to say something."""
        return self.images >= MIN_IMAGES

    @property
    def is_poor(self) -> bool:
        """Whether the label is hardly learned."""
        return self.is_telling and self.dsc is not None and self.dsc < POOR

    def __str__(self) -> str:
        """The label and its figure, such as "Root 0.81"."""
        if not self.is_telling or self.dsc is None:
            return f"{self.label} too few to tell ({self.images})"
        return f"{self.label} {self.dsc:.2f} ({self.images})"


def label_figures(version: Version) -> list[LabelFigure]:
    """The version's labels in order; empty if it was not validated or predates per-label metrics."""
    images = version.metrics.get(LABEL_IMAGES)
    if images is None:
        return []
    dsc = version.metrics.get(LABEL_DSC, {})
    names = dict.fromkeys([*version.labels, *dsc])
    return [LabelFigure(name, dsc.get(name), int(images.get(name, 0))) for name in names]


def sentences(version: Version, figures: Sequence[LabelFigure]) -> list[str]:
    """Sentences about the labels: all of them if there are several, and in any case the poor ones."""
    said = []
    if len(figures) > 1:
        listed = ", ".join(map(str, figures))
        said.append(f"validation DSC by label (validation images that contain it): {listed}")
    poor = [figure for figure in figures if figure.is_poor]
    if poor:
        names = ", ".join(f"{figure.label} ({figure.dsc:.2f})" for figure in poor)
        said.append(f"{version.name} has hardly learned {names}: DSC below {POOR}")
    return said
