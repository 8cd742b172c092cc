"""Between Label Studio's regions and label maps: (H, W) uint8, 0 for background, i + 1 for label i.

Regions may be brush, bitmask, polygon, vector, ellipse or rectangle regions, mixed as the config allows.
Where they overlap, the later one in the list wins, as it lies on top in the editor. A pixel belongs to an
outline if its centre does. Label Studio stores all regions over the image's own pixels, EXIF orientation
applied. ``image_rotation`` is not applied to them: it only records how the annotator had turned the view, in
which the editor keeps the image's own coordinates.
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
from ml_backend.label_studio.regions.forms import FORMS, DrawnLabel
from ml_backend.label_studio.regions.outlines import MOST_COMPONENTS
from ml_backend.label_studio.regions.shape import RegionError, Shape, Size
from model.consistency import dice

LEAST_DSC = 0.99
"""Dice that polygons and vectors keep with each label of the label map they are made of."""

KINDS = frozenset({READ_ONLY, "labels", *(form.name + end for form in FORMS for end in ("", "labels"))})
"""Types of the regions that hold masks, or name the labels of such regions."""

FOREIGN_LABEL = "Drawn with a label that the labeling config does not have, or no longer has."


@dataclass(frozen=True)
class Reading:
    """What the regions of one annotation or prediction say."""

    label_map: NDArray[np.uint8] | None
    """(H, W) class indices; None where no size is known, or where masks were drawn of which none can be used.
    If nothing is `unreadable` then, all of them bear labels that the config does not have."""
    regions: int
    """Regions that were drawn into the label map."""
    ignored: Mapping[str, int] = field(default_factory=dict)
    """Why regions that say nothing about the masks were passed over, and how many."""
    unreadable: Mapping[str, int] = field(default_factory=dict)
    """Why masks were left out, one sentence each, and how many: the label map lacks them."""


def label_map(results: Sequence[Any], config: LabelConfig, size: Size | None = None) -> Reading:
    """Unite the regions of ``results`` (the ``result`` list of an annotation or prediction) into a label map.

    Regions of one label are united; among labels the later region wins. A region with several labels counts
    as the first that the config knows. Alpha of 128 or more counts as drawn. What is no mask (choices, texts,
    relations, key points, answers about a region) is passed over.

    Args:
        results: region dictionaries as Label Studio delivers them; anything may be in them.
        config: the controls, image tag and labels to look for.
        size: (H, W) of the image; where None, the size that the first readable region states. Without
            regions, a known size gives an empty map: the annotator saw nothing to draw.
    """
    ignored: Counter[str] = Counter()
    unreadable: Counter[str] = Counter()
    canvas = None if size is None else np.zeros(size, dtype=np.uint8)
    controls = {(control.name, control.kind): control for control in config.controls}
    named = _named_apart(results, config)
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
    labels: NDArray[np.uint8], config: LabelConfig, scores: Mapping[int, float] | None = None
) -> list[dict[str, Any]]:
    """Write an (H, W) label map as regions, each label in the form of the control that holds it.

    If several controls have a label, the one with the most exact form writes it (`forms.FORMS`). Brush and
    bitmask: one region a label, exact. Polygon and vector: one region for each component, simplified by at
    most the config's tolerance, finer where that would bring a label's Dice with the map below 0.99. Ellipse
    and rectangle: one for each component, approximations by nature. Of outlines, ellipses and rectangles a
    label gets 200 at most, the largest ones; what is left out beside that is small (`regions.outlines`).

    Args:
        labels: class indices; an index beyond the config's labels is a ValueError.
        config: gives the names of tags and labels, and the tolerance.
        scores: class index → score in [0, 1] for the label's regions, such as its mean probability.
    """
    # Each outline keeps its Dice by itself; where many meet, what one of them covers is another's.
    tries = (config.knobs.tolerance, config.knobs.tolerance / 2, 0.0)
    written = [list(_written(labels, config, scores or {}, tries[0]))]
    while not _keeps(labels, config, written[-1]):
        if len(written) == len(tries):
            return written[0]
        written.append(list(_written(labels, config, scores or {}, tries[len(written)])))
    return written[-1]


def _written(
    labels: NDArray[np.uint8], config: LabelConfig, scores: Mapping[int, float], tolerance: float
) -> Iterator[dict[str, Any]]:
    height, width = labels.shape
    runs = rle.runs_of(labels)
    present = np.unique(runs.alphas).tolist()
    if present[-1] > len(config.labels):
        raise ValueError(
            f"The label map holds class {present[-1]}, but the config has only {len(config.labels)} labels."
        )
    drawn = [(config.control_of(config.labels[index - 1]), index) for index in present if index]
    # What is only roughly so comes first, and lies below what is exact.
    for control, index in sorted(drawn, key=lambda one: -one[0].form.rank):
        for value in control.form.write(DrawnLabel(labels, runs, index), tolerance):
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
    """The region with its label, or followed by a second one of the <Labels> tag that names it."""
    value = region["value"]
    if not control.labels_tag:
        yield region | {"value": value | {control.labels_key: [label]}}
        return
    yield region
    named = {"from_name": control.labels_tag, "type": "labels", "value": value | {"labels": [label]}}
    yield region | named


def _keeps(labels: NDArray[np.uint8], config: LabelConfig, written: list[dict[str, Any]]) -> bool:
    """Whether each label that is written in outlines keeps its Dice when the regions are read back.

    A label that falls into more parts than are written cannot keep it, and is left as it is.
    """
    parts = Counter(name for region in written for name in region["value"].get(region["type"], ()))
    outlined = [
        index
        for index, label in enumerate(config.labels, start=1)
        if 0 < parts[label] < MOST_COMPONENTS and config.control_of(label).form.is_outline
    ]
    if not outlined:
        return True
    found = label_map(written, config, (labels.shape[0], labels.shape[1])).label_map
    assert found is not None
    return all(dice(labels == index, found == index) >= LEAST_DSC for index in outlined)


def _named_apart(results: Sequence[Any], config: LabelConfig) -> dict[Any, Any]:
    """Region id → label names, of the results of <Labels> tags."""
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
    """The control that drew a region; where none did, why the region says nothing about the masks."""
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
    """The class of the first label that the config has; None if it has none of them."""
    names = region["value"].get(control.labels_key)
    if names is None and isinstance(region.get("id"), str):
        names = named.get(region["id"])
    known = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    if not known:
        raise RegionError("The region bears no label.")
    return next((config.indices[name] for name in known if name in config.indices), None)


def _stated_size(region: Mapping[str, Any], expected: Size | None) -> Size:
    """The (H, W) that the region was drawn over."""
    height, width = region.get("original_height"), region.get("original_width")
    if height is None and width is None and expected is not None:
        return expected
    if not isinstance(height, int) or not isinstance(width, int):
        raise RegionError("The region does not say over how many pixels it was drawn.")
    if expected is not None and (height, width) != expected:
        raise RegionError(
            f"The mask was drawn over {width} × {height} pixels, but the image has "
            f"{expected[1]} × {expected[0]}."
        )
    if min(height, width) < 1 or height * width > rle.MAX_PIXELS:
        raise RegionError(f"No mask is read over {width} × {height} pixels.")
    return height, width


def _paint(canvas: NDArray[np.uint8], shape: Shape, index: int) -> None:
    top, left, mask = shape
    height, width = mask.shape
    np.copyto(canvas[top : top + height, left : left + width], np.uint8(index), where=mask)
