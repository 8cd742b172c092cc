"""What a project's labeling config says about brush masks: which image, which control tag, which labels."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import cycle
from types import MappingProxyType
from typing import NoReturn
from xml.etree import ElementTree

from defusedxml import ElementTree as SafeElementTree  # type: ignore[import-untyped]
from defusedxml.common import DefusedXmlException  # type: ignore[import-untyped]

MAX_LABELS = 254
"""A label map is uint8 with 0 for background and 255 for "not known", which leaves this many labels."""

_EXAMPLE = (
    '<BrushLabels name="mask" toName="image"><Label value="Bone"/></BrushLabels> '
    'beside <Image name="image" value="$image"/>'
)


COLOURS = ("#e8772e", "#2e9fe8", "#6cc04a", "#c94fd1", "#e8d22e", "#2ec9b7", "#e83a5f", "#8a6df1")
"""Colours of a new project's labels: strong ones that stand out on grey radiographs; repeated past eight."""


class LabelConfigError(ValueError):
    """A labeling config that cannot be served; the message is one sentence that says what to add."""


@dataclass(frozen=True)
class LabelConfig:
    """The one brush control of a project that is served."""

    image_tag: str
    """Name of the ``<Image>`` tag: ``to_name`` of a region."""
    control_tag: str
    """Name of the ``<BrushLabels>`` tag: ``from_name`` of a region."""
    data_key: str
    """Key of a task's data under which the image's address lies."""
    labels: tuple[str, ...]
    """Foreground labels as regions carry them (a label's alias where it has one), in the config's order."""
    others: tuple[str, ...] = ()
    """Names of further brush controls that could have been served; the first in the config is."""
    synonyms: tuple[tuple[str, str], ...] = ()
    """(value, alias) of labels that have both: Label Studio writes the alias and reads either."""
    indices: Mapping[str, int] = field(init=False, repr=False, compare=False)
    """Index in a label map, from 1 on, of every name that a region may carry for a label."""

    def __post_init__(self) -> None:
        indices = {label: index for index, label in enumerate(self.labels, start=1)}
        for value, alias in self.synonyms:
            indices.setdefault(value, indices[alias])
        object.__setattr__(self, "indices", MappingProxyType(indices))


def parse(xml: str) -> LabelConfig:
    """Find the first usable ``<BrushLabels>`` of a labeling config and the ``<Image>`` it is bound to.

    Usable means: named, bound by ``toName`` to a named image whose ``value`` is a plain ``$key``, with at
    least one ``<Label>`` written out in the config. Tag and attribute names are read without regard to
    case, as Label Studio's editor does. Further usable controls are named in ``LabelConfig.others``.

    Raises:
        LabelConfigError: no control is usable, or the text is no XML or declares entities.
    """
    root = _parse_xml(xml)
    images = {_attribute(tag, "name"): tag for tag in _tags(root, "image") if _attribute(tag, "name")}
    usable: list[LabelConfig] = []
    first_fault: LabelConfigError | None = None
    for control in _tags(root, "brushlabels"):
        try:
            usable.append(_read_control(control, images))
        except LabelConfigError as fault:
            first_fault = first_fault or fault
    if usable:
        return replace(usable[0], others=tuple(config.control_tag for config in usable[1:]))
    raise first_fault or LabelConfigError(
        f"The labeling config has no <BrushLabels> tag to draw masks with: add {_EXAMPLE}."
    )


def default_config(labels: Iterable[str]) -> str:
    """Write the labeling config of a new project: one image with zoom, one brush label for each name.

    Raises:
        LabelConfigError: no label, too many, a repeated one, or one that Label Studio would not keep as is.
    """
    names = tuple(labels)
    for name in names:
        if not name or not name.isprintable() or name != name.strip() or name.startswith("$"):
            raise LabelConfigError(
                f"A label must be printable text without spaces around it, unlike {name!r}."
            )
    _check_labels("mask", names)
    if len(set(names)) < len(names):
        raise LabelConfigError(f"Each label may be named once, unlike in {', '.join(names)}.")
    view = ElementTree.Element("View")
    ElementTree.SubElement(
        view,
        "Image",
        name="image",
        value="$image",
        zoom="true",
        zoomControl="true",
        brightnessControl="true",
        contrastControl="true",
    )
    control = ElementTree.SubElement(view, "BrushLabels", name="mask", toName="image")
    for name, colour in zip(names, cycle(COLOURS), strict=False):
        ElementTree.SubElement(control, "Label", value=name, background=colour)
    ElementTree.indent(view)
    return ElementTree.tostring(view, encoding="unicode")


def _parse_xml(xml: str) -> ElementTree.Element:
    try:
        root: ElementTree.Element = SafeElementTree.fromstring(xml, forbid_dtd=True)
    except DefusedXmlException:
        raise LabelConfigError(
            "The labeling config declares entities or a DTD: take the declaration out."
        ) from None
    except (ElementTree.ParseError, ValueError) as error:
        raise LabelConfigError(
            f"The labeling config is no well-formed XML ({error}): add {_EXAMPLE}."
        ) from None
    return root


def _read_control(control: ElementTree.Element, images: dict[str, ElementTree.Element]) -> LabelConfig:
    name = _attribute(control, "name")
    if not name:
        _refuse('A <BrushLabels> tag has no name: add one, such as name="mask"')
    targets = [target.strip() for target in _attribute(control, "toName").split(",")]
    image_tag = next((target for target in targets if target in images), "")
    if not image_tag:
        _refuse(
            f'<BrushLabels name="{name}"> is bound to no <Image>: add toName="image" to it and '
            '<Image name="image" value="$image"/> to the config'
        )
    labels, synonyms = _read_labels(control, name)
    return LabelConfig(image_tag, name, _data_key(images[image_tag]), labels, synonyms=synonyms)


def _read_labels(
    control: ElementTree.Element, name: str
) -> tuple[tuple[str, ...], tuple[tuple[str, str], ...]]:
    labels: dict[str, str] = {}
    for tag in _tags(control, "label"):
        value, alias = _attribute(tag, "value"), _attribute(tag, "alias")
        if alias or value:
            labels.setdefault(alias or value, value)
    if not labels and _attribute(control, "value"):
        _refuse(
            f'<BrushLabels name="{name}"> takes its labels from the task data: write them into the config '
            'instead, such as <Label value="Bone"/>'
        )
    _check_labels(name, tuple(labels))
    synonyms = tuple((value, alias) for alias, value in labels.items() if value and value != alias)
    return tuple(labels), synonyms


def _check_labels(name: str, labels: tuple[str, ...]) -> None:
    if not labels:
        _refuse(f'<BrushLabels name="{name}"> has no labels: add at least one, such as <Label value="Bone"/>')
    if len(labels) > MAX_LABELS:
        _refuse(f'<BrushLabels name="{name}"> has {len(labels)} labels: keep to {MAX_LABELS} at most')


def _data_key(image: ElementTree.Element) -> str:
    name, value = _attribute(image, "name"), _attribute(image, "value")
    advice = 'use a single key of the task\'s data, such as value="$image"'
    if not value and _attribute(image, "valueList"):
        _refuse(f'<Image name="{name}"> shows a list of images: {advice}')
    key = value.removeprefix("$")
    if key == value or not key:
        _refuse(f'<Image name="{name}"> has value="{value}": {advice}')
    if not all(character.isalnum() or character in "_-" for character in key):
        _refuse(f'<Image name="{name}"> reads "{value}", which is more than one plain key: {advice}')
    return key


def _tags(root: ElementTree.Element, name: str) -> Iterator[ElementTree.Element]:
    return (tag for tag in root.iter() if isinstance(tag.tag, str) and tag.tag.lower() == name)


def _attribute(tag: ElementTree.Element, name: str) -> str:
    wanted = name.lower()
    return next((value for key, value in tag.attrib.items() if key.lower() == wanted), "")


def _refuse(sentence: str) -> NoReturn:
    raise LabelConfigError(f"{sentence}.")
