"""From the results of an annotation or prediction to its label map: what is a mask, and what cannot be read.

Whatever a person drew is learned as drawn, or reported; it is never learned as background.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.config import READ_ONLY, SMART_NAMES, Control, LabelConfig, Role
from ml_backend.label_studio.regions.canvas import Canvas
from ml_backend.label_studio.regions.emptied import EMPTIED, is_emptied
from ml_backend.label_studio.regions.forms import BRUSH, FORMS, Form
from ml_backend.label_studio.regions.rle import RleError
from ml_backend.label_studio.regions.shape import EmptyRegionError, RegionError, Shape, Size, shown
from ml_backend.label_studio.regions.sizes import drawn_size

logger = logging.getLogger(__name__)

UNKNOWN = 255
"""Class index of pixels of which nothing is known."""

_FORMS: Mapping[str, Form] = MappingProxyType(
    {READ_ONLY: BRUSH} | {form.name + end: form for form in FORMS for end in ("", "labels")}
)
KINDS = frozenset({"labels", *_FORMS})
"""Types of regions that store masks, or the labels of such regions."""
PIXELWISE = frozenset(kind for kind, form in _FORMS.items() if form.is_pixelwise)
"""Those that store pixels; the size that they state is that of their mask."""

FOREIGN_LABEL = "Drawn with a label that the labeling config does not have, or no longer has."
PROMPT = "A prompt of a smart tool."
ONLY_PROMPTS = "There is a prompt of a smart tool, but no mask."
NO_PIXEL = "The region covers no pixel of the image."
NO_LABEL = "The region has no label."


class _IgnoredError(Exception):
    """A result that says nothing about the masks; the message says why, or is empty."""


@dataclass(frozen=True)
class Reading:
    """The label map read from the regions of one annotation or prediction."""

    label_map: NDArray[np.uint8] | None
    """(H, W) class indices; None if no size is known, or if something was drawn but nothing can be used. If
    then nothing is `unreadable`, all masks have labels that the config does not have."""
    regions: int
    """Number of regions drawn into the label map."""
    ignored: Mapping[str, int] = field(default_factory=dict)
    """{reason: number} of regions ignored because they say nothing about the masks."""
    unreadable: Mapping[str, int] = field(default_factory=dict)
    """{reason: number} of masks missing from the label map; each reason is one sentence."""
    unknown: NDArray[np.bool_] | None = None
    """(H, W), true where a region has no label, or one that the config lacks; not in `label_map`."""
    is_partial: bool = False
    """Whether a mask of unknown position is missing, so that the map's background is uncertain."""
    nested: frozenset[tuple[str, str]] = frozenset()
    """(inner, outer) labels of which one was drawn within the other."""

    @property
    def known_map(self) -> NDArray[np.uint8] | None:
        """The label map with 255 wherever it is not known whether a pixel is background."""
        if self.label_map is None or not (self.is_partial or self.unknown is not None):
            return self.label_map
        known = self.label_map.copy()
        known[(known == 0) if self.unknown is None or self.is_partial else self.unknown] = UNKNOWN
        return known


def is_mask(region: Any) -> bool:
    """Whether a result is a mask or the label of one, or is so malformed that it might be.

    Without the labeling config, only prompts of the smart tags that `dsal connect` adds are told from masks.
    """
    kind = region.get("type") if isinstance(region, dict) else None
    return not isinstance(kind, str) or (kind.lower() in KINDS and not _is_own_prompt(region))


def masks_in(results: Sequence[Any]) -> list[Any]:
    """The results that are masks (`is_mask`), without labels from a <Labels> tag that only prompts have."""
    masks = [region for region in results if is_mask(region)]
    prompts = {id_ for region in results if _is_own_prompt(region) and (id_ := _id(region))}
    if not prompts:
        return masks
    prompts -= {_id(region) for region in masks if not _is_label(region)}
    return [region for region in masks if not (_is_label(region) and _id(region) in prompts)]


def _is_own_prompt(region: Any) -> bool:
    name = region.get("from_name") if isinstance(region, dict) else None
    return isinstance(name, str) and name in SMART_NAMES


def _is_label(region: Any) -> bool:
    return isinstance(region, dict) and region.get("type") == "labels"


def _id(region: Any) -> str:
    found = region.get("id") if isinstance(region, dict) else None
    return found if isinstance(found, str) else ""


@dataclass(frozen=True)
class _Mask:
    """A region that is a mask.

    Attributes:
        region: the region.
        value: its value.
        form: the form in which the value stores the mask.
        index: class index of its label; None if it has none.
        reason: one sentence that says why it has no label.
    """

    region: Mapping[str, Any]
    value: Mapping[str, Any]
    form: Form
    index: int | None
    reason: str = ""


class RegionReader:
    """Draws the regions of one annotation or prediction on a canvas, and counts those that cannot be read."""

    def __init__(self, config: LabelConfig, canvas: Canvas) -> None:
        self._config = config
        self._canvas = canvas
        self._controls = {(control.name, control.kind): control for control in config.controls}
        self._labels_tags = {control.labels_tag for control in config.controls if control.labels_tag}
        self._named: dict[str, Any] = {}
        self._labelled: dict[str, list[Mapping[str, Any]]] = {}
        self._drawn_ids: set[str] = set()
        self._ignored: Counter[str] = Counter()
        self._unreadable: Counter[str] = Counter()
        self._drawn = 0
        self._is_partial = False

    def read(self, results: Any) -> None:
        """Draw all regions of a `result` list; any content is possible."""
        if not isinstance(results, list | tuple):
            self._report(RegionError(f"The result must be a list of regions, not {shown(results)}."))
            return
        self._index(results)
        for region in results:
            try:
                self._read(region)
            except _IgnoredError as reason:
                if str(reason):
                    self._ignored[str(reason)] += 1
            except (RegionError, RleError) as fault:
                self._report(fault)
            except Exception as error:
                # One odd region must not stop all trainings of its project.
                logger.exception("A region cannot be read.")
                self._report(RegionError(f"The region cannot be read ({type(error).__name__})."))

    def finish(self) -> Reading:
        """The label map and the counts."""
        prompts = self._ignored[PROMPT]
        if prompts and not self._drawn and not self._unreadable:
            self._unreadable[ONLY_PROMPTS] = prompts
        is_lost = bool(self._unreadable or self._ignored[FOREIGN_LABEL]) and not self._drawn
        names = self._config.labels
        return Reading(
            None if is_lost else self._canvas.labels,
            self._drawn,
            MappingProxyType(+self._ignored),
            MappingProxyType(self._unreadable),
            None if is_lost else self._canvas.unknown,
            self._is_partial,
            frozenset((names[inner - 1], names[outer - 1]) for inner, outer in self._canvas.nested),
        )

    def _report(self, fault: Exception) -> None:
        self._unreadable[str(fault)] += 1
        self._is_partial |= not isinstance(fault, EmptyRegionError)

    def _index(self, results: list[Any] | tuple[Any, ...]) -> None:
        """Note by id the labels from <Labels> tags, the shapes with their own labels, and who has a shape."""
        for region in results:
            if not isinstance(region, dict) or not isinstance(region.get("id"), str):
                continue
            kind, name = region.get("type"), region.get("from_name")
            if not isinstance(kind, str) or not isinstance(name, str):
                continue
            if name in self._labels_tags and isinstance(region.get("value"), dict):
                self._named[region["id"]] = region["value"].get("labels")
            control = self._controls.get((name, kind))
            if control is not None and not control.labels_tag and isinstance(region.get("value"), dict):
                self._labelled.setdefault(region["id"], []).append(_shape_only(region["value"]))
            # Points and boxes get the label of an active <Labels> tag too.
            if kind in _FORMS or self._role(region) is Role.PROMPT:
                self._drawn_ids.add(region["id"])

    def _read(self, region: Any) -> None:
        mask = self._mask(region)
        try:
            shape, size = self._shape(mask)
        except (RegionError, RleError) as fault:
            if mask.reason == FOREIGN_LABEL:
                raise _IgnoredError(FOREIGN_LABEL) from fault
            raise
        if mask.index is None:
            self._canvas.mark_unknown(shape, size)
            # A removed label says nothing about the present ones, but its pixels are not background.
            counts = self._ignored if mask.reason == FOREIGN_LABEL else self._unreadable
            counts[mask.reason] += 1
        else:
            self._canvas.draw(shape, mask.index, size)
            self._drawn += 1

    def _shape(self, mask: _Mask) -> tuple[Shape, Size]:
        """The pixels of a region and the size of its canvas."""
        try:
            size = drawn_size(mask.region, self._canvas.size, is_pixelwise=mask.form.is_pixelwise)
            shape = mask.form.read(mask.value, size)
        except (RegionError, RleError) as fault:
            if isinstance(fault, EmptyRegionError) and is_emptied(mask.region):
                raise _IgnoredError(EMPTIED) from fault
            if mask.index is None:
                raise type(fault)(mask.reason) from fault
            raise
        if not shape.mask.any():
            if is_emptied(mask.region):
                raise _IgnoredError(EMPTIED)
            raise EmptyRegionError(mask.reason or NO_PIXEL)
        return shape, size

    def _mask(self, region: Any) -> _Mask:
        """A region as a mask.

        Raises:
            _IgnoredError: it is none.
            RegionError: it is malformed, or not from the served image.
        """
        if not isinstance(region, dict):
            raise RegionError(f"A region must be an object, not {shown(region)}.")
        kind = region.get("type")
        if not isinstance(kind, str):
            raise RegionError(f"A region's type must be text, not {shown(kind)}.")
        if kind not in KINDS:
            is_prompt = "is_positive" in region or self._role(region) is Role.PROMPT
            if kind.lower() in KINDS and not is_prompt:
                raise RegionError(f"The region's type is {shown(kind)}, which must be in small letters.")
            raise _IgnoredError(PROMPT if is_prompt else _not_read(kind))
        for key in ("from_name", "to_name"):
            if not isinstance(region.get(key), str):
                raise RegionError(f"A region's {key} must be text, not {shown(region.get(key))}.")
        if kind == "labels":
            self._check_label(region)
        self._check_place(region, kind)
        return self._of_tag(region, kind)

    def _of_tag(self, region: Mapping[str, Any], kind: str) -> _Mask:
        """A region over the served image as a mask."""
        name, value = region["from_name"], region.get("value")
        if value is None:
            raise EmptyRegionError("The region has no value.")
        if not isinstance(value, dict):
            raise RegionError(f"A region's value must be an object, not {shown(value)}.")
        control = self._controls.get((name, kind))
        if control is not None:
            return self._of_control(region, control)
        if self._is_labelled_again(region):
            raise _IgnoredError
        return _Mask(region, value, _FORMS[kind], None, _why_unlabelled(name, self._role(region)))

    def _is_labelled_again(self, region: Mapping[str, Any]) -> bool:
        """Whether the same shape is there with its label too, as a region of another tag."""
        name = region.get("id")
        return isinstance(name, str) and _shape_only(region["value"]) in self._labelled.get(name, ())

    def _check_label(self, region: Mapping[str, Any]) -> None:
        """Raise `_IgnoredError` for the label of another region, `RegionError` for one without a region."""
        name = region.get("id")
        is_drawn = isinstance(name, str) and name in self._drawn_ids
        if is_drawn or region["from_name"] not in self._labels_tags:
            raise _IgnoredError
        raise RegionError("There is a label without the region it belongs to.")

    def _check_place(self, region: Mapping[str, Any], kind: str) -> None:
        """Raise `_IgnoredError` for a region left out on purpose, `RegionError` for one drawn nowhere."""
        name, image, config = region["from_name"], region["to_name"], self._config
        role = self._role(region)
        if role is Role.PROMPT:
            raise _IgnoredError(PROMPT)
        if role is Role.UNREAD:
            raise _IgnoredError(_not_read(f"{kind} drawn by {shown(name)}"))
        if image in config.other_images:
            raise _IgnoredError(f'Not drawn over <Image name="{config.image_tag}">.')
        if image != config.image_tag:
            raise RegionError(
                f'The region is drawn over "{shown(image)}", which is no <Image> of the labeling config.'
            )

    def _role(self, region: Mapping[str, Any]) -> Role | None:
        name = region.get("from_name")
        return self._config.others.get(name) if isinstance(name, str) else None

    def _of_control(self, region: Mapping[str, Any], control: Control) -> _Mask:
        """A region of a control, with its label: the first that the config has."""
        value = region["value"]
        names = value.get(control.labels_key)
        if names is None and isinstance(region.get("id"), str):
            names = self._named.get(region["id"])
        known = [name for name in names if isinstance(name, str)] if isinstance(names, list) else []
        if not known:
            return _Mask(region, value, control.form, None, NO_LABEL)
        indices = self._config.indices
        first = next((name for name in known if name in indices), None)
        if first is None:
            return _Mask(region, value, control.form, None, FOREIGN_LABEL)
        if self._config.labels[indices[first] - 1] in control.prompts:
            raise _IgnoredError(PROMPT)
        return _Mask(region, value, control.form, indices[first])


def _shape_only(value: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: found for key, found in value.items() if key not in KINDS}


def _why_unlabelled(name: str, role: Role | None) -> str:
    if role is Role.UNLABELLED:
        return f'The tag "{shown(name)}" draws regions without a label.'
    return f'The region is drawn by "{shown(name)}", which is no tag for masks in the labeling config.'


def _not_read(kind: str) -> str:
    return f"Regions of type {shown(kind)} are not read as masks."
