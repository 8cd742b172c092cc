"""Between Label Studio's brush regions and label maps: (H, W) uint8, 0 for background, i + 1 for label i.

Where regions overlap, the later one in the list wins, as it lies on top in the editor. Label Studio stores
brush masks over the image's own pixels, EXIF orientation applied. ``image_rotation`` is not applied to them:
it only records how the annotator had turned the view, in which the editor keeps the image's own coordinates.
"""

import secrets
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from . import rle
from .label_config import LabelConfig

THRESHOLD = 128
"""Least alpha that counts as drawn: the editor's strokes have soft edges."""


FOREIGN_LABEL = "Drawn with a label that the labeling config does not have, or no longer has."


class _Skipped(Exception):  # noqa: N818 (not an error: it carries the reason from a reader to the count)
    """A region that is left out."""


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


Size = tuple[int, int]
Reader = Callable[[Mapping[str, Any], Size], rle.Runs]


def label_map(results: Sequence[Any], config: LabelConfig, size: Size | None = None) -> Reading:
    """Unite the regions of ``results`` (the ``result`` list of an annotation or prediction) into a label map.

    Regions of one label are united; among labels the later region wins. A region with several labels counts
    as the first that the config knows. Alpha of 128 or more counts as drawn.

    Args:
        results: region dictionaries as Label Studio delivers them; anything may be in them.
        config: the control tag, image tag and labels to look for.
        size: (H, W) of the image; where None, the size that the first readable region states. Without
            regions, a known size gives an empty map: the annotator saw nothing to draw.
    """
    ignored: Counter[str] = Counter()
    unreadable: Counter[str] = Counter()
    canvas = None if size is None else np.zeros(size, dtype=np.uint8)
    drawn = 0
    for region in results:
        reason = _why_ignored(region, config)
        if reason:
            ignored[reason] += 1
            continue
        try:
            index = _label_index(region, config)
            if index is None:
                ignored[FOREIGN_LABEL] += 1
                continue
            stated = _stated_size(region, None if canvas is None else canvas.shape)
            runs = READERS[region["type"]](region["value"], stated)
        except (_Skipped, rle.RleError) as fault:
            unreadable[str(fault)] += 1
            continue
        if canvas is None:
            canvas = np.zeros(stated, dtype=np.uint8)
        _paint(canvas, runs, index)
        drawn += 1
    if (unreadable or ignored[FOREIGN_LABEL]) and not drawn:
        canvas = None
    return Reading(canvas, drawn, MappingProxyType(ignored), MappingProxyType(unreadable))


def results(
    labels: NDArray[np.uint8], config: LabelConfig, scores: Mapping[int, float] | None = None
) -> list[dict[str, Any]]:
    """Write an (H, W) label map as brush regions, one for each label present, alphas 0 and 255.

    Args:
        labels: class indices; an index beyond the config's labels is a ValueError.
        config: gives the names of tags and labels.
        scores: class index → score in [0, 1] for the label's region, such as its mean probability.
    """
    height, width = labels.shape
    runs = rle.runs_of(labels)
    present = np.unique(runs.alphas).tolist()
    if present[-1] > len(config.labels):
        raise ValueError(
            f"The label map holds class {present[-1]}, but the config has only {len(config.labels)} labels."
        )
    regions = []
    for index in filter(None, present):
        control = config.control_of(config.labels[index - 1])
        if control.kind not in READERS:
            continue
        alphas = np.where(runs.alphas == index, np.uint8(255), np.uint8(0))
        region: dict[str, Any] = {
            "id": secrets.token_hex(5),
            "from_name": control.name,
            "to_name": config.image_tag,
            "type": "brushlabels",
            "original_width": width,
            "original_height": height,
            "image_rotation": 0,
            "value": {
                "format": "rle",
                "rle": rle.encode_runs(rle.Runs(alphas, runs.lengths)),
                "brushlabels": [config.labels[index - 1]],
            },
        }
        if scores and index in scores:
            region["score"] = float(scores[index])
        regions.append(region)
    return regions


def _why_ignored(region: Any, config: LabelConfig) -> str:
    if not isinstance(region, dict):
        return "Not a region."
    kind = region.get("type")
    if not isinstance(kind, str) or kind not in READERS:
        return f"Regions of type {str(kind)[:40]} are not read as masks."
    drawn_by = {(control.name, control.kind) for control in config.controls}
    if (region.get("from_name"), kind) not in drawn_by or region.get("to_name") != config.image_tag:
        return f'Not drawn over <Image name="{config.image_tag}"> with a tag that is served.'
    if not isinstance(region.get("value"), dict):
        return "The region has no value."
    return ""


def _label_index(region: Mapping[str, Any], config: LabelConfig) -> int | None:
    names = region["value"].get(region["type"])
    known = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
    if not known:
        raise _Skipped("The region bears no label.")
    return next((config.indices[name] for name in known if name in config.indices), None)


def _stated_size(region: Mapping[str, Any], expected: Size | None) -> Size:
    """The (H, W) that the region was drawn over."""
    height, width = region.get("original_height"), region.get("original_width")
    if height is None and width is None and expected is not None:
        return expected
    if not isinstance(height, int) or not isinstance(width, int):
        raise _Skipped("The region does not say over how many pixels it was drawn.")
    if expected is not None and (height, width) != expected:
        raise _Skipped(
            f"The mask was drawn over {width} × {height} pixels, but the image has "
            f"{expected[1]} × {expected[0]}."
        )
    return height, width


def _read_brush(value: Mapping[str, Any], size: Size) -> rle.Runs:
    if value.get("format", "rle") != "rle" or not value.get("rle"):
        raise _Skipped("The brush region holds no mask.")
    return rle.decode_runs(value["rle"], *size)


READERS: Mapping[str, Reader] = MappingProxyType({"brushlabels": _read_brush})
"""Region type → reader of its ``value`` at (H, W). A further format is one more entry."""


def _paint(canvas: NDArray[np.uint8], runs: rle.Runs, index: int) -> None:
    """Set the pixels whose alpha reaches the threshold, touching only the rows the mask spans."""
    drawn = runs.alphas >= THRESHOLD
    inside = np.flatnonzero(drawn)
    if not inside.size:
        return
    span = slice(int(inside[0]), int(inside[-1]) + 1)
    start = int(runs.lengths[: span.start].sum())
    where = np.repeat(drawn[span], runs.lengths[span])
    np.copyto(canvas.reshape(-1)[start : start + where.size], np.uint8(index), where=where)
