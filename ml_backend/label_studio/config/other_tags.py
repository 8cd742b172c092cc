"""Drawing tags that are no controls, and what their regions are: prompts, masks without a label, or nothing.

Label Studio's editor gives a rectangle, key point, brush, bitmask or magic wand tag a second tool for
prompts, unless it says `smart="false"`; with `smartOnly="true"` that tool is the only one. Nothing but the
tag tells a prompt from a mask afterwards. So these regions are prompts:

- all regions of a tag with `smartOnly="true"`;
- of a rectangle tag with `smart="true"`, those whose label a brush, bitmask, polygon or vector tag draws;
- key points of a tag with `smart="true"`, and those that say whether they are positive.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from xml.etree import ElementTree

from ml_backend.label_studio.config.knobs import is_skipped
from ml_backend.label_studio.config.labeling import READ_ONLY, Control, Role
from ml_backend.label_studio.config.markup import (
    attribute,
    is_true,
    named,
    several_targets,
    tags,
    targets,
)
from ml_backend.label_studio.regions.forms import BITMASK, BRUSH, ELLIPSE, FORMS, POLYGON, VECTOR, Form

WITH_LABELS: Mapping[str, Form] = MappingProxyType({f"{form.name}labels": form for form in FORMS})
"""Tags that draw with their own labels."""
WITHOUT_LABELS: Mapping[str, Form] = MappingProxyType(
    {form.name: form for form in FORMS} | {READ_ONLY: BRUSH}
)
"""Tags that draw, with labels from a <Labels> tag over the same image."""
KEY_POINTS = ("keypoint", "keypointlabels")

OUTLINED = (BRUSH, BITMASK, POLYGON, VECTOR)
"""Forms for masks; a box beside one of them is quicker to draw only as a prompt."""
WITHOUT_SMART_TOOL = (POLYGON, VECTOR, ELLIPSE)
"""Forms for which the editor has no tool for prompts, whatever their tag says."""


def is_prompt_only(tag: ElementTree.Element) -> bool:
    """Whether all regions of a tag are prompts."""
    return is_true(tag, "smartOnly")


def without_prompts(controls: Sequence[Control]) -> tuple[Control, ...]:
    """The controls that draw masks, each without the labels with which it draws prompts.

    Args:
        controls: with all labels of a smart rectangle tag as prompts.
    """
    outlined = {label for one in controls if one.form in OUTLINED for label in one.labels}
    found = []
    for one in controls:
        prompts = tuple(label for label in one.prompts if label in outlined)
        labels = tuple(label for label in one.labels if label not in prompts)
        if labels:
            found.append(replace(one, labels=labels, prompts=prompts))
    return tuple(found)


def other_tags(
    root: ElementTree.Element, image: str, controls: Sequence[Control]
) -> tuple[Mapping[str, Role], list[str]]:
    """What regions of tags mean that are no controls over `image`, by name, and a sentence for each fault.

    Tags that the parser refused are left out: their regions are masks, but cannot be read.
    """
    served = {control.name for control in controls}
    roles: dict[str, Role] = {}
    faults: list[str] = []
    for tag in tags(root, *WITH_LABELS, *WITHOUT_LABELS, *KEY_POINTS):
        name = attribute(tag, "name")
        role = _role(tag, image)
        if len(targets(tag)) > 1 and tag.tag.lower() in WITHOUT_LABELS:
            faults.append(several_targets(tag))
            continue
        if not name or name in served or role is None:
            continue
        roles[name] = role
        if role is Role.UNLABELLED:
            faults.append(
                f"{named(tag)} draws regions without a label, which are reported and not learned: put a "
                "<Labels> tag over the same image, or remove it."
            )
        elif role is Role.PROMPT and _form(tag) in WITHOUT_SMART_TOOL:
            faults.append(
                f'{named(tag)} has smartOnly="true", so its regions are prompts and not learned, although '
                "the editor draws ordinary regions with it: remove smartOnly to learn them."
            )
    return MappingProxyType(roles), faults


def _role(tag: ElementTree.Element, image: str) -> Role | None:
    form = _form(tag)
    is_open = form is not None and form.required is not None and not is_true(tag, form.required[0])
    if is_skipped(tag) or image not in targets(tag) or is_open:
        return Role.UNREAD
    if is_prompt_only(tag) or (is_true(tag, "smart") and form not in (*OUTLINED, ELLIPSE)):
        return Role.PROMPT
    return Role.UNLABELLED if tag.tag.lower() in WITHOUT_LABELS else None


def _form(tag: ElementTree.Element) -> Form | None:
    """The form of a tag's regions; None for key points."""
    return WITH_LABELS.get(tag.tag.lower()) or WITHOUT_LABELS.get(tag.tag.lower())
