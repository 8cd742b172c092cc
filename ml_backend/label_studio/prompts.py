"""The prompts of a `/predict` call: where an annotator clicked or drew a box, to ask for a mask.

The editor sends, as `params.context.result`, all regions on its page that have the form and the label of the
newest prompt, the oldest first (docs/label-studio-behaviour.md). Most are prompts. Boxes that were drawn as
masks, points that mark something else, and points from earlier pages, which have lost their sign, are none.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ml_backend.label_studio.config import LabelConfig, Role
from ml_backend.label_studio.regions.shape import RegionError, Size, number, shown
from ml_backend.label_studio.regions.sizes import drawn_size
from model.interaction.prompts import Box, Click, PromptError

POINT_KINDS = ("keypoint", "keypointlabels")
BOX_KINDS = ("rectangle", "rectanglelabels")


@dataclass(frozen=True)
class Asked:
    """All usable prompts of a call: at least one.

    Attributes:
        label: the label that they ask for, as the config names it.
        size: (H, W) of the image in pixels.
        marks: clicks and boxes in pixels of the image, the newest last. Clicks are on a pixel of it; boxes
            are clipped to it, and a rotated one is made upright around it.
        ids: of the marks' regions on the page.
        faults: one sentence for each prompt that is left out.
    """

    label: str
    size: Size
    marks: tuple[Click | Box, ...]
    ids: tuple[str, ...]
    faults: tuple[str, ...] = ()


def read_prompts(context: Any, config: LabelConfig) -> Asked:
    """The prompts in `params.context` of a call; any content is possible.

    The newest usable prompt decides the label and the size of the image; older ones that differ are left
    out. Malformed prompts are left out as well, and each has its sentence in `faults`.

    Raises:
        PromptError: there is no usable prompt; the sentence is about the newest one, if there is any.
    """
    result = context.get("result") if isinstance(context, Mapping) else None
    if not isinstance(result, list | tuple):
        raise PromptError(f"The context of a prompt must have a list of regions, not {shown(result)}.")
    faults: list[str] = []
    found: list[tuple[Click | Box, str, Size, str]] = []
    for region in reversed(result):
        if not _is_prompt(region, config):
            continue
        try:
            found.append(_read(region, found[0][2] if found else None, result, config))
            if found[-1][1] != found[0][1]:
                other = found.pop()[1]
                raise RegionError(f"The prompt has the label {shown(other)}, unlike the newest one.")
        except RegionError as fault:
            faults.append(str(fault))
    if not found:
        raise PromptError(faults[0] if faults else "There is no point or box of a smart tool.")
    _, label, size, _ = found[0]
    found.reverse()
    return Asked(
        label,
        size,
        tuple(mark for mark, *_ in found),
        tuple(name for *_, name in found),
        tuple(reversed(faults)),
    )


def _is_prompt(region: Any, config: LabelConfig) -> bool:
    """Whether a region asks for a mask, or is so malformed that it might."""
    if not isinstance(region, Mapping):
        return True
    kind = region.get("type")
    if kind in POINT_KINDS:
        # Without its sign it is a landmark, or a prompt from an earlier page.
        return "is_positive" in region
    if kind not in BOX_KINDS:
        # The label from a <Labels> tag, or the prompt's label on a mask that was accepted.
        return False
    name = region.get("from_name")
    if isinstance(name, str) and config.others.get(name) is Role.PROMPT:
        return True
    names = set(_names(region, kind))
    return any(one.name == name and names & set(one.prompts) for one in config.controls)


def _read(
    region: Any, size: Size | None, result: Sequence[Any], config: LabelConfig
) -> tuple[Click | Box, str, Size, str]:
    """A prompt as a mark, its label, the size of its image, and its id."""
    if not isinstance(region, Mapping):
        raise RegionError(f"A prompt must be an object, not {shown(region)}.")
    value, id_ = region.get("value"), region.get("id")
    if not isinstance(value, Mapping):
        raise RegionError(f"A prompt's value must be an object, not {shown(value)}.")
    if region.get("to_name") != config.image_tag:
        raise RegionError(f'The prompt is not drawn over <Image name="{config.image_tag}">.')
    if not isinstance(id_, str):
        raise RegionError(f"A prompt's id must be text, not {shown(id_)}.")
    label = _label(region, id_, result, config)
    size = drawn_size(region, size, is_pixelwise=True)
    if region["type"] in BOX_KINDS:
        return _box(value, size), label, size, id_
    return _click(value, region["is_positive"], size), label, size, id_


def _click(value: Mapping[str, Any], sign: Any, size: Size) -> Click:
    if not isinstance(sign, bool):
        raise RegionError(f"A point's is_positive must be true or false, not {shown(sign)}.")
    x, y = number(value, "x"), number(value, "y")
    if not (0 <= x <= 100 and 0 <= y <= 100):
        raise RegionError("The point is outside the image.")
    height, width = size
    return Click(_below(x * width / 100, width), _below(y * height / 100, height), sign)


def _below(place: float, side: int) -> float:
    """A place on the far edge is in the last pixel."""
    return min(place, math.nextafter(side, 0))


def _box(value: Mapping[str, Any], size: Size) -> Box:
    height, width = size
    turn = math.radians(number(value, "rotation", 0.0))
    corner = np.array([number(value, "x") * width, number(value, "y") * height]) / 100
    across = np.array([math.cos(turn), math.sin(turn)]) * number(value, "width") * width / 100
    along = np.array([-math.sin(turn), math.cos(turn)]) * number(value, "height") * height / 100
    corners = np.array([corner, corner + across, corner + along, corner + across + along])
    left, top = np.maximum(corners.min(axis=0), 0).tolist()
    right, bottom = np.minimum(corners.max(axis=0), [width, height]).tolist()
    if not (left < right and top < bottom):
        raise RegionError("The box covers nothing of the image.")
    return Box(left, top, right, bottom)


def _label(region: Mapping[str, Any], id_: str, result: Sequence[Any], config: LabelConfig) -> str:
    """The label of a prompt: its own, the one that a <Labels> tag gave it, or the only one there is."""
    names = list(_names(region, str(region["type"])))
    for other in result:
        if isinstance(other, Mapping) and other.get("id") == id_ and other.get("type") == "labels":
            names += _names(other, "labels")
    if not names:
        if len(config.labels) == 1:
            return config.labels[0]
        raise RegionError("The prompt has no label: choose one before you click.")
    index = next((config.indices[name] for name in names if name in config.indices), None)
    if index is None:
        raise RegionError(f"The labeling config draws no masks with the label {shown(names[0])}.")
    return config.labels[index - 1]


def _names(region: Mapping[str, Any], kind: str) -> Iterator[str]:
    """The labels that a region states itself."""
    value = region.get("value")
    if isinstance(value, Mapping):
        for key in (kind, "labels"):
            found = value.get(key)
            yield from (name for name in (found if isinstance(found, list) else ()) if isinstance(name, str))
