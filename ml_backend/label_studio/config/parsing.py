"""Parsing a labeling config: its XML, read safely and case-insensitively as the editor does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NoReturn
from xml.etree import ElementTree

from defusedxml import ElementTree as SafeElementTree  # type: ignore[import-untyped]
from defusedxml.common import DefusedXmlException  # type: ignore[import-untyped]

from ml_backend.label_studio.config.knobs import is_skipped, read_knobs
from ml_backend.label_studio.config.labeling import (
    READ_ONLY,
    Control,
    LabelConfig,
    LabelConfigError,
    check_labels,
)
from ml_backend.label_studio.regions.forms import BRUSH, FORMS, Form

EXAMPLE = (
    '<BrushLabels name="mask" toName="image"><Label value="Bone"/></BrushLabels> '
    'beside <Image name="image" value="$image"/>'
)


def parse_xml(xml: str) -> ElementTree.Element:
    """The root of a labeling config; LabelConfigError if it is not XML, or declares entities or a DTD."""
    try:
        root: ElementTree.Element = SafeElementTree.fromstring(xml, forbid_dtd=True)
    except DefusedXmlException:
        raise LabelConfigError(
            "The labeling config declares entities or a DTD: remove the declaration."
        ) from None
    except (ElementTree.ParseError, ValueError) as error:
        raise LabelConfigError(
            f"The labeling config is not well-formed XML ({error}): add {EXAMPLE}."
        ) from None
    return root


def tags(root: ElementTree.Element, *names: str) -> Iterator[ElementTree.Element]:
    """All tags with these lower-case names, in document order."""
    return (tag for tag in root.iter() if isinstance(tag.tag, str) and tag.tag.lower() in names)


def attribute(tag: ElementTree.Element, name: str) -> str:
    """An attribute's value, or an empty string."""
    wanted = name.lower()
    return next((value for key, value in tag.attrib.items() if key.lower() == wanted), "")


_WITH_LABELS: Mapping[str, Form] = MappingProxyType({f"{form.name}labels": form for form in FORMS})
_WITHOUT_LABELS: Mapping[str, Form] = MappingProxyType(
    {form.name: form for form in FORMS} | {READ_ONLY: BRUSH}
)
"""Tags that draw, with labels from a <Labels> tag over the same image."""

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
    if it is named, bound by ``toName`` to a named image whose ``value`` is a plain ``$key``, contains at
    least one ``<Label>``, and lacks ``model_skip="true"``. The image of the first usable control is served;
    controls over other images are ignored. Labels with the same name in several controls are one label. Tag
    and attribute names are case-insensitive, as in Label Studio's editor.

    Raises:
        LabelConfigError: no control is usable, there are too many labels, or the text is not XML or declares
            entities or a DTD.
    """
    root = parse_xml(xml)
    images = {attribute(tag, "name"): tag for tag in tags(root, "image") if attribute(tag, "name")}
    usable: list[_Usable] = []
    faults: list[str] = []
    for tag in tags(root, *_WITH_LABELS, "labels"):
        if is_skipped(tag):
            continue
        try:
            usable += _read_tag(root, tag, images)
        except LabelConfigError as fault:
            faults.append(str(fault))
    if not usable:
        raise LabelConfigError(
            faults[0] if faults else f"The labeling config has no tag to draw masks with: add {EXAMPLE}."
        )
    image = usable[0].images[0]
    served = [one for one in usable if image in one.images]
    ignored = dict.fromkeys(one.images[0] for one in usable if image not in one.images)
    faults += [
        f'Only <Image name="{image}"> is served: regions on <Image name="{other}"> are ignored.'
        for other in ignored
    ]
    return _serve(image, _data_key(images[image]), served, faults)


def _serve(image: str, data_key: str, served: list[_Usable], faults: list[str]) -> LabelConfig:
    controls = tuple(control for one in served for control in one.controls)
    labels = tuple(dict.fromkeys(label for control in controls for label in control.labels))
    check_labels("The labeling config", labels)
    aliases = [pair for one in served for pair in one.synonyms]
    predicted = [pair for one in served for pair in _predicted(one.tag)]
    knobs, wrong = read_knobs(tag for one in served for tag in (one.tag, *one.partners))
    return LabelConfig(
        image,
        controls[0].name,
        data_key,
        labels,
        controls,
        synonyms=tuple(dict.fromkeys((*aliases, *predicted))),
        knobs=knobs,
        faults=tuple(dict.fromkeys((*faults, *wrong))),
    )


def _read_tag(
    root: ElementTree.Element, tag: ElementTree.Element, images: Mapping[str, ElementTree.Element]
) -> Iterator[_Usable]:
    """A tag with labels, or nothing if it is a <Labels> tag without drawing tags over its images."""
    kind = tag.tag.lower()
    targets = _images(tag, images)
    partners = () if kind != "labels" else tuple(_partners(root, targets))
    if kind == "labels" and not partners:
        return
    name = attribute(tag, "name")
    if not name:
        _refuse(f'A <{tag.tag}> tag has no name: add one, such as name="mask"')
    if not targets:
        _refuse(
            f'{_named(tag)} is not bound to an <Image>: add toName="image" to it and '
            '<Image name="image" value="$image"/> to the config'
        )
    for drawing in partners or (tag,):
        form = _WITH_LABELS.get(drawing.tag.lower()) or _WITHOUT_LABELS[drawing.tag.lower()]
        if form.required is not None and attribute(drawing, form.required[0]).lower() != form.required[1]:
            _refuse(f'{_named(drawing)} draws no areas: add {form.required[0]}="{form.required[1]}" to it')
    if partners and all(each.tag.lower() == READ_ONLY for each in partners):
        _refuse(
            f"Label Studio accepts no predictions for {_named(partners[0])}: add {_EXAMPLE_BRUSH} beside it"
        )
    _data_key(images[targets[0]])
    labels = _read_labels(tag)
    if partners:
        controls = tuple(
            Control(
                attribute(each, "name"), each.tag.lower(), _WITHOUT_LABELS[each.tag.lower()], labels, name
            )
            for each in partners
        )
    else:
        controls = (Control(name, kind, _WITH_LABELS[kind], labels),)
    yield _Usable(tag, partners, controls, targets, tuple(_aliases(tag)))


def _images(tag: ElementTree.Element, images: Mapping[str, ElementTree.Element]) -> tuple[str, ...]:
    """The names of the images that a tag is bound to."""
    targets = (target.strip() for target in attribute(tag, "toName").split(","))
    return tuple(target for target in targets if target in images)


def _partners(root: ElementTree.Element, targets: Iterable[str]) -> Iterator[ElementTree.Element]:
    """The tags without labels that draw over one of the images."""
    for tag in tags(root, *_WITHOUT_LABELS):
        bound = {target.strip() for target in attribute(tag, "toName").split(",")}
        if attribute(tag, "name") and bound & set(targets) and not is_skipped(tag):
            yield tag


def _read_labels(tag: ElementTree.Element) -> tuple[str, ...]:
    written = (attribute(label, "alias") or attribute(label, "value") for label in tags(tag, "label"))
    labels = tuple(dict.fromkeys(filter(None, written)))
    if not labels and attribute(tag, "value"):
        _refuse(
            f"{_named(tag)} takes its labels from the task data: write them into the config instead, such as "
            '<Label value="Bone"/>'
        )
    check_labels(_named(tag), labels)
    return labels


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
    if not value and attribute(image, "valueList"):
        _refuse(f'<Image name="{name}"> shows a list of images: {advice}')
    key = value.removeprefix("$")
    if key == value or not key:
        _refuse(f'<Image name="{name}"> has value="{value}": {advice}')
    if not all(character.isalnum() or character in "_-" for character in key):
        _refuse(f'<Image name="{name}"> reads "{value}", which is more than one plain key: {advice}')
    return key


def _named(tag: ElementTree.Element) -> str:
    return f'<{tag.tag} name="{attribute(tag, "name")}">'


def _refuse(sentence: str) -> NoReturn:
    raise LabelConfigError(f"{sentence}.")
