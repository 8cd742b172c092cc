"""Between Label Studio's regions and label maps: (H, W) uint8, 0 for background, i + 1 for label i.

Regions may be brush, bitmask, polygon, vector, ellipse or rectangle regions, in any mix that the config
allows. Where they overlap, the later one in the list wins, because the editor draws it on top. A pixel is
inside an outline if its centre is. Label Studio stores all regions relative to the image, EXIF orientation
applied. ``image_rotation`` is not applied to them: it only records how the annotator had rotated the view,
and the editor keeps the image's own coordinates.
"""

import secrets
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.config import READ_ONLY, Control, LabelConfig
from ml_backend.label_studio.regions import rle
from ml_backend.label_studio.regions.components import MAX_COMPONENTS
from ml_backend.label_studio.regions.forms import FORMS, DrawnLabel
from ml_backend.label_studio.regions.shape import RegionError, Shape, Size
from model.consistency import dice

MIN_DSC = 0.99
"""Minimum Dice of polygons and vectors with each label of the label map they are written from."""

KINDS = frozenset({READ_ONLY, "labels", *(form.name + end for form in FORMS for end in ("", "labels"))})
"""Types of regions that store masks, or the labels of such regions."""

FOREIGN_LABEL = "Drawn with a label that the labeling config does not have, or no longer has."


@dataclass(frozen=True)
class Reading:
    """The label map read from the regions of one annotation or prediction."""

    label_map: NDArray[np.uint8] | None
    """(H, W) class indices; None if no size is known, or if masks were drawn but none can be used. If then
    nothing is `unreadable`, all of them have labels that the config does not have."""
    regions: int
    """Number of regions drawn into the label map."""
    ignored: Mapping[str, int] = field(default_factory=dict)
    """{reason: number} of regions ignored because they say nothing about the masks."""
    unreadable: Mapping[str, int] = field(default_factory=dict)
    """{reason: number} of masks missing from the label map; each reason is one sentence."""


def label_map(results: Sequence[Any], config: LabelConfig, size: Size | None = None) -> Reading:
    """Return the label map of ``results``, the ``result`` list of an annotation or prediction.

    Regions with the same label are united; among labels the later region wins. A region with several labels
    counts as the first one in the config. Alpha of 128 or more counts as drawn. Results other than masks
    (choices, texts, relations, key points, answers about a region) are ignored.

    Args:
        results: region dictionaries as Label Studio delivers them; untrusted, any content is possible.
        config: the controls, image tag and labels to look for.
        size: (H, W) of the image; None takes the size stated by the first readable region. With a known size
            and no regions the map is empty: the annotator saw nothing to draw.
    """
    ignored: Counter[str] = Counter()
    unreadable: Counter[str] = Counter()
    canvas = None if size is None else np.zeros(size, dtype=np.uint8)
    controls = {(control.name, control.kind): control for control in config.controls}
    named = _separate_labels(results, config)
    drawn = 0
    for region in results:
        control, reason = _control(region, config, controls)
        if control is None:
            if reason:
                ignored[reason] += 1
            continue
        try:
            index = _label_index(region, control, config, named)
            if index is None:
                ignored[FOREIGN_LABEL] += 1
                continue
            stated = _stated_size(region, None if canvas is None else canvas.shape)
            shape = control.form.read(region["value"], stated)
        except (RegionError, rle.RleError) as fault:
            unreadable[str(fault)] += 1
            continue
        if canvas is None:
            canvas = np.zeros(stated, dtype=np.uint8)
        _paint(canvas, shape, index)
        drawn += 1
    if (unreadable or ignored[FOREIGN_LABEL]) and not drawn:
        canvas = None
    return Reading(canvas, drawn, MappingProxyType(ignored), MappingProxyType(unreadable))


def results(
    labels: NDArray[np.uint8],
    config: LabelConfig,
    scores: Mapping[int, float] | None = None,
    points: int | None = None,
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
        scores: class index → score in [0, 1] for the label's regions, such as its mean probability.
        points: most points of a label's polygons or vectors together, at least 4; its outlines become as
            coarse as this needs, even if its Dice drops below 0.99. None for any number.

    Raises:
        ValueError: an index is beyond the config's labels.
    """
    # Each outline keeps its Dice, but simplified outlines may overlap and lower a label's.
    tolerance = config.knobs.tolerance
    tries = [list(_written(labels, config, scores or {}, tolerance, points))]
    for finer in (tolerance / 2, 0.0):
        if _keeps_dice(labels, config, tries[-1]):
            return tries[-1]
        tries.append(list(_written(labels, config, scores or {}, finer, points)))
    return tries[-1] if _keeps_dice(labels, config, tries[-1]) else tries[0]


def _written(
    labels: NDArray[np.uint8],
    config: LabelConfig,
    scores: Mapping[int, float],
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
        for value in control.form.write(DrawnLabel(labels, index, points), tolerance):
            region: dict[str, Any] = {
                "id": secrets.token_hex(5),
                "from_name": control.name,
                "to_name": config.image_tag,
                "type": control.kind,
                "original_width": width,
                "original_height": height,
                "image_rotation": 0,
                "value": value,
            }
            if index in scores:
                region["score"] = float(scores[index])
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


def _separate_labels(results: Sequence[Any], config: LabelConfig) -> dict[Any, Any]:
    """Region id → label names, from the regions of <Labels> tags."""
    tags = {control.labels_tag for control in config.controls if control.labels_tag}
    return {
        region["id"]: region["value"].get("labels")
        for region in results
        if isinstance(region, dict)
        and region.get("from_name") in tags
        and isinstance(region.get("id"), str)
        and isinstance(region.get("value"), dict)
    }


def _control(
    region: Any, config: LabelConfig, controls: Mapping[tuple[str, str], Control]
) -> tuple[Control | None, str]:
    """The control that drew a region; if none did, (None, the reason why the region is ignored)."""
    if not isinstance(region, dict):
        return None, "Not a region."
    kind, name = region.get("type"), region.get("from_name")
    if not isinstance(kind, str) or not isinstance(name, str):
        return None, f"Regions of type {str(kind)[:40]} are not read as masks."
    if kind == "labels" and any(control.labels_tag == name for control in config.controls):
        return None, ""
    if region.get("to_name") != config.image_tag:
        return None, f'Not drawn over <Image name="{config.image_tag}">.'
    control = controls.get((name, kind))
    if control is None:
        return None, f"Regions of type {kind[:40]} drawn by {name[:40]} are not read as masks."
    if not isinstance(region.get("value"), dict):
        return None, "The region has no value."
    return control, ""


def _label_index(
    region: Mapping[str, Any], control: Control, config: LabelConfig, named: Mapping[Any, Any]
) -> int | None:
    """The class index of the first label that the config has; None if it has none of them."""
    names = region["value"].get(control.labels_key)
    if names is None and isinstance(region.get("id"), str):
        names = named.get(region["id"])
    known = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    if not known:
        raise RegionError("The region has no label.")
    return next((config.indices[name] for name in known if name in config.indices), None)


def _stated_size(region: Mapping[str, Any], expected: Size | None) -> Size:
    """The (H, W) that the region was drawn on."""
    height, width = region.get("original_height"), region.get("original_width")
    if height is None and width is None and expected is not None:
        return expected
    if not isinstance(height, int) or not isinstance(width, int):
        raise RegionError("The region does not state the size of the image it was drawn on.")
    if expected is not None and (height, width) != expected:
        raise RegionError(
            f"The mask was drawn on {width} × {height} pixels, but the image has "
            f"{expected[1]} × {expected[0]}."
        )
    if min(height, width) < 1 or height * width > rle.MAX_PIXELS:
        raise RegionError(f"Masks of {width} × {height} pixels are not supported.")
    return height, width


def _paint(canvas: NDArray[np.uint8], shape: Shape, index: int) -> None:
    top, left, mask = shape
    height, width = mask.shape
    np.copyto(canvas[top : top + height, left : left + width], np.uint8(index), where=mask)
