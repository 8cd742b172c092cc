"""Parsing a labeling config: its XML, read safely and case-insensitively as the editor does."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from xml.etree import ElementTree

from ml_backend.items import is_outside, reason
from ml_backend.label_studio.config.exclusions import read_exclusions
from ml_backend.label_studio.config.extent import check_tags
from ml_backend.label_studio.config.knobs import is_skipped, read_knobs
from ml_backend.label_studio.config.labeling import (
    READ_ONLY,
    Control,
    LabelConfig,
    LabelConfigError,
    check_labels,
)
from ml_backend.label_studio.config.markup import (
    EXAMPLE,
    attribute,
    is_true,
    named,
    parse_xml,
    refuse,
    several_targets,
    tags,
    targets,
)
from ml_backend.label_studio.config.other_tags import (
    WITH_LABELS,
    WITHOUT_LABELS,
    is_prompt_only,
    other_tags,
    without_prompts,
)
from ml_backend.label_studio.regions.forms import RECTANGLE

logger = logging.getLogger(__name__)

_EXAMPLE_BRUSH = '<Brush name="brush" toName="image"/>'


@dataclass(frozen=True)
class _Usable:
    """A tag with labels, its controls, and the images it is bound to, of which the first is usable."""

    tag: ElementTree.Element
    partners: tuple[ElementTree.Element, ...]
    controls: tuple[Control, ...]
    images: tuple[str, ...]
    synonyms: tuple[tuple[str, str], ...]


def parse(xml: str) -> LabelConfig:
    """Find the served image of a labeling config, and all usable controls over it.

    A control is a ``<BrushLabels>``, ``<BitmaskLabels>``, ``<PolygonLabels>``, ``<VectorLabels>`` (with
    ``closable="true"``), ``<EllipseLabels>`` or ``<RectangleLabels>`` tag, or a ``<Labels>`` tag with a
    ``<Brush>``, ``<MagicWand>``, ``<Bitmask>``, … tag over the same image. A control is usable
    if it is named, bound by ``toName`` to one named image whose ``value`` is a plain ``$key``, contains at
    least one ``<Label>``, and has neither ``model_skip="true"`` nor ``smartOnly="true"``. The image of the
    first usable control is served; controls over other images are ignored. Labels with the same name in
    several controls are one label. Tag and attribute names are case-insensitive, as in Label Studio's editor.

    Raises:
        LabelConfigError: no control is usable, there are too many labels or tags, or the text is not XML or
            declares entities or a DTD.
    """
    try:
        return _parse(xml)
    except LabelConfigError:
        raise
    except Exception as error:
        # A config that nobody foresaw is one project's problem, as any other faulty config.
        if is_outside(error):
            raise
        logger.exception("A labeling config cannot be read.")
        raise LabelConfigError(f"The labeling config cannot be read ({reason(error)}).") from error


def _parse(xml: str) -> LabelConfig:
    root = parse_xml(xml)
    check_tags(root)
    images = {attribute(tag, "name"): tag for tag in tags(root, "image") if attribute(tag, "name")}
    usable: list[_Usable] = []
    faults: list[str] = []
    for tag in tags(root, *WITH_LABELS, "labels"):
        if is_skipped(tag) or is_prompt_only(tag):
            continue
        try:
            usable += _read_tag(root, tag, images)
        except LabelConfigError as fault:
            faults.append(str(fault))
    if not usable:
        raise LabelConfigError(faults[0] if faults else _nothing_usable(root))
    image = usable[0].images[0]
    served = [one for one in usable if image in one.images]
    ignored = dict.fromkeys(one.images[0] for one in usable if image not in one.images)
    faults += [
        f'Only <Image name="{image}"> is served: regions on <Image name="{other}"> are ignored.'
        for other in ignored
    ]
    config = _serve(image, _data_key(images[image]), root, served)
    return replace(
        config,
        faults=tuple(dict.fromkeys((*faults, *config.faults))),
        other_images=frozenset(images) - {image},
    )


def _nothing_usable(root: ElementTree.Element) -> str:
    """Why there is no tag to draw masks with, although none is faulty."""
    prompts = [tag for tag in tags(root, *WITH_LABELS, *WITHOUT_LABELS) if is_prompt_only(tag)]
    if prompts:
        return f'{named(prompts[0])} has smartOnly="true", so it draws prompts only: add {EXAMPLE}.'
    return f"The labeling config has no tag to draw masks with: add {EXAMPLE}."


def _serve(image: str, data_key: str, root: ElementTree.Element, served: list[_Usable]) -> LabelConfig:
    controls = without_prompts([control for one in served for control in one.controls])
    labels = tuple(dict.fromkeys(label for control in controls for label in control.labels))
    check_labels("The labeling config", labels)
    aliases = [pair for one in served for pair in one.synonyms]
    predicted = [pair for one in served for pair in _predicted(one.tag)]
    drawing = [tag for one in served for tag in (one.tag, *one.partners)]
    knobs, wrong = read_knobs([*drawing, *tags(root, "choices")])
    others, unlearned = other_tags(root, image, controls)
    exclusions, unknown = read_exclusions(root, knobs.exclude)
    return LabelConfig(
        image,
        controls[0].name,
        data_key,
        labels,
        controls,
        synonyms=tuple(dict.fromkeys(pair for pair in (*aliases, *predicted) if pair[1] in labels)),
        knobs=knobs,
        faults=(*_from_the_data(served), *wrong, *unlearned, *unknown),
        others=others,
        exclusions=exclusions,
    )


def _read_tag(
    root: ElementTree.Element, tag: ElementTree.Element, images: Mapping[str, ElementTree.Element]
) -> Iterator[_Usable]:
    """A tag with labels, or nothing if it is a <Labels> tag without drawing tags over its images."""
    kind = tag.tag.lower()
    bound = tuple(name for name in targets(tag) if name in images)
    partners = () if kind != "labels" else tuple(_partners(root, bound))
    if kind == "labels" and not partners:
        return
    name = attribute(tag, "name")
    if not name:
        refuse(f'A <{tag.tag}> tag has no name: add one, such as name="mask"')
    if len(targets(tag)) > 1:
        raise LabelConfigError(several_targets(tag))
    if not bound:
        refuse(
            f'{named(tag)} is not bound to an <Image>: add toName="image" to it and '
            '<Image name="image" value="$image"/> to the config'
        )
    for drawing in partners or (tag,):
        form = WITH_LABELS.get(drawing.tag.lower()) or WITHOUT_LABELS[drawing.tag.lower()]
        if form.required is not None and attribute(drawing, form.required[0]).lower() != form.required[1]:
            refuse(f'{named(drawing)} draws no areas: add {form.required[0]}="{form.required[1]}" to it')
    if partners and all(each.tag.lower() == READ_ONLY for each in partners):
        refuse(
            f"Label Studio accepts no predictions for {named(partners[0])}: add {_EXAMPLE_BRUSH} beside it"
        )
    _data_key(images[bound[0]])
    labels = _read_labels(tag)
    controls = tuple(_control(each, labels, name if partners else "") for each in partners or (tag,))
    yield _Usable(tag, partners, controls, bound, tuple(_aliases(tag)))


def _control(tag: ElementTree.Element, labels: tuple[str, ...], labels_tag: str) -> Control:
    """A drawing tag as a control; all labels of a smart rectangle are prompts for now."""
    kind = tag.tag.lower()
    form = WITHOUT_LABELS[kind] if labels_tag else WITH_LABELS[kind]
    smart = form is RECTANGLE and is_true(tag, "smart")
    return Control(attribute(tag, "name"), kind, form, labels, labels_tag, labels if smart else ())


def _partners(root: ElementTree.Element, images: Iterable[str]) -> Iterator[ElementTree.Element]:
    """The tags without labels that draw over one of the images."""
    for tag in tags(root, *WITHOUT_LABELS):
        left_out = is_skipped(tag) or is_prompt_only(tag)
        if attribute(tag, "name") and not left_out and any(targets(tag) == (image,) for image in images):
            yield tag


def _read_labels(tag: ElementTree.Element) -> tuple[str, ...]:
    written = (attribute(label, "alias") or attribute(label, "value") for label in tags(tag, "label"))
    labels = tuple(dict.fromkeys(filter(None, written)))
    if not labels and attribute(tag, "value"):
        refuse(
            f"{named(tag)} takes its labels from the task data: write them into the config instead, such as "
            '<Label value="Bone"/>'
        )
    check_labels(named(tag), labels)
    return labels


def _from_the_data(served: Iterable[_Usable]) -> Iterator[str]:
    """A sentence for each tag that has further labels in the data of each task."""
    for tag in (one.tag for one in served if attribute(one.tag, "value")):
        yield (
            f"{named(tag)} takes further labels from the task data, which are not learned: write them into "
            "the config."
        )


def _aliases(tag: ElementTree.Element) -> Iterator[tuple[str, str]]:
    """(value, alias) of labels that have both: Label Studio writes the alias and accepts either."""
    for label in tags(tag, "label"):
        value, alias = attribute(label, "value"), attribute(label, "alias")
        if value and alias and value != alias:
            yield value, alias


def _predicted(tag: ElementTree.Element) -> Iterator[tuple[str, str]]:
    """(name that a version uses for the label, label), from `predicted_values="a,b"`."""
    for label in tags(tag, "label"):
        written = attribute(label, "alias") or attribute(label, "value")
        for name in attribute(label, "predicted_values").split(","):
            if written and name.strip() and name.strip() != written:
                yield name.strip(), written


def _data_key(image: ElementTree.Element) -> str:
    name, value = attribute(image, "name"), attribute(image, "value")
    advice = 'use a single key of the task data, such as value="$image"'
    if attribute(image, "valueList"):
        refuse(f'<Image name="{name}"> shows a list of images: {advice}')
    key = value.removeprefix("$")
    if key == value or not key:
        refuse(f'<Image name="{name}"> has value="{value}": {advice}')
    if not all(character.isalnum() or character in "_-" for character in key):
        refuse(f'<Image name="{name}"> reads "{value}", which is more than one plain key: {advice}')
    return key
