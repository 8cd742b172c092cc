"""Between Label Studio's regions and label maps: (H, W) uint8, 0 for background, i + 1 for label i.

Regions may be brush, bitmask, polygon, vector, ellipse or rectangle regions, in any mix that the config
allows; `reading.py` tells which results are masks. A pixel is inside an outline if its centre is. Label
Studio stores all regions relative to the image, EXIF orientation applied. ``image_rotation`` is not applied
to them: it only records how the annotator had rotated the view, and the editor keeps the image's own
coordinates.
"""

import secrets
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.config import Control, LabelConfig
from ml_backend.label_studio.regions import rle
from ml_backend.label_studio.regions.canvas import Canvas, Overlap
from ml_backend.label_studio.regions.components import MAX_COMPONENTS
from ml_backend.label_studio.regions.forms import DrawnLabel
from ml_backend.label_studio.regions.probability import Probabilities, of_regions
from ml_backend.label_studio.regions.reading import (
    FOREIGN_LABEL,
    KINDS,
    Reading,
    RegionReader,
    is_mask,
    masks_in,
)
from ml_backend.label_studio.regions.shape import Size
from model.consistency import dice

__all__ = ["FOREIGN_LABEL", "KINDS", "MIN_DSC", "Reading", "is_mask", "label_map", "masks_in", "results"]

MIN_DSC = 0.99
"""Minimum Dice of polygons and vectors with each label of the label map they are written from."""


def label_map(
    results: Any, config: LabelConfig, size: Size | None = None, overlap: Overlap | None = None
) -> Reading:
    """Return the label map of ``results``, the ``result`` list of an annotation or prediction.

    Regions with the same label are united; where regions of several labels overlap, `overlap` decides. A
    region with several labels counts as the first one in the config. Results other than masks (choices,
    texts, relations, key points, prompts, answers about a region) are ignored.

    Args:
        results: region dictionaries as Label Studio delivers them; untrusted, any content is possible.
        config: the controls, image tag and labels to look for.
        size: (H, W) of the image; None takes the size stated by the first readable region. With a known size
            and no regions the map is empty: the annotator saw nothing to draw.
        overlap: which of two overlapping regions gets the pixels; None takes the config's rule, or the
            default one.
    """
    reader = RegionReader(config, Canvas(size, overlap or config.knobs.overlap))
    reader.read(results)
    return reader.finish()


def results(
    labels: NDArray[np.uint8],
    config: LabelConfig,
    probabilities: Probabilities | None = None,
    points: int | None = None,
    note: str = "",
) -> list[dict[str, Any]]:
    """Write an (H, W) label map as regions, each label in the form of the control that has it.

    If several controls have a label, the one with the most exact form writes it (`forms.FORMS`). In every
    form a region is one component. Brush and bitmask: exact; beyond 200 components, the smallest share a
    region. Polygon and vector: simplified by at most the config's tolerance, or less if a label's Dice with
    the map would drop below 0.99. Ellipse and rectangle: approximate. A label gets at most 200 outlines,
    ellipses or rectangles, for its largest components; very small ones are left out (`regions.outlines`).

    Args:
        labels: class indices.
        config: gives the names of tags and labels, and the tolerance.
        probabilities: gives each region its `score`, the probability of its label over its pixels, which the
            editor shows beside it; None for no scores.
        points: most points of a label's polygons or vectors together, at least 4; its outlines become as
            coarse as this needs, even if its Dice drops below 0.99. None for any number.
        note: a text that the editor shows while a region is selected; empty for none.

    Raises:
        ValueError: an index is beyond the config's labels.
    """
    # Each outline keeps its Dice, but simplified outlines may overlap and lower a label's.
    tolerance = config.knobs.tolerance
    about = _About(probabilities, note)
    tries = [list(_written(labels, config, about, tolerance, points))]
    for finer in (tolerance / 2, 0.0):
        if _keeps_dice(labels, config, tries[-1]):
            return tries[-1]
        tries.append(list(_written(labels, config, about, finer, points)))
    return tries[-1] if _keeps_dice(labels, config, tries[-1]) else tries[0]


class _About(NamedTuple):
    """What is said of the regions beside their pixels; see `results`."""

    probabilities: Probabilities | None
    note: str


def _written(
    labels: NDArray[np.uint8],
    config: LabelConfig,
    about: _About,
    tolerance: float,
    points: int | None,
) -> Iterator[dict[str, Any]]:
    height, width = labels.shape
    present = np.unique(rle.runs_of(labels).alphas).tolist()
    if present[-1] > len(config.labels):
        raise ValueError(
            f"The label map contains class {present[-1]}, but the config has {len(config.labels)} labels."
        )
    drawn = [(config.control_of(config.labels[index - 1]), index) for index in present if index]
    # Approximate forms come first, so that exact ones are drawn over them.
    for control, index in sorted(drawn, key=lambda one: -one[0].form.rank):
        drawn_label = DrawnLabel(labels, index, points)
        values = control.form.write(drawn_label, tolerance)
        scores = of_regions(about.probabilities, drawn_label, control.form, values)
        for value, score in zip(values, scores, strict=True):
            # What a person can read comes first: the Data Manager shows the beginning of a result.
            region: dict[str, Any] = {
                **({"meta": {"text": [about.note]}} if about.note else {}),
                "id": secrets.token_hex(5),
                **({} if score is None else {"score": score}),
                "from_name": control.name,
                "to_name": config.image_tag,
                "type": control.kind,
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "value": value,
            }
            yield from _labelled(region, control, config.labels[index - 1])


def _labelled(region: dict[str, Any], control: Control, label: str) -> Iterator[dict[str, Any]]:
    """The region with its label, or followed by a second region of the <Labels> tag with the label."""
    value = region["value"]
    if not control.labels_tag:
        yield region | {"value": value | {control.labels_key: [label]}}
        return
    yield region
    named = {"from_name": control.labels_tag, "type": "labels", "value": value | {"labels": [label]}}
    yield region | named


def _keeps_dice(labels: NDArray[np.uint8], config: LabelConfig, written: list[dict[str, Any]]) -> bool:
    """Whether each label written as outlines keeps its Dice when the regions are read back.

    A label with more components than are written cannot keep it and is not checked.
    """
    parts = Counter(name for region in written for name in region["value"].get(region["type"], ()))
    outlined = [
        index
        for index, label in enumerate(config.labels, start=1)
        if 0 < parts[label] < MAX_COMPONENTS and config.control_of(label).form.is_outline
    ]
    if not outlined:
        return True
    found = label_map(written, config, (labels.shape[0], labels.shape[1])).label_map
    assert found is not None
    return all(dice(labels == index, found == index) >= MIN_DSC for index in outlined)
