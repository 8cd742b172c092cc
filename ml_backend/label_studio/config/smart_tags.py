"""The smart tags of a labeling config, with which annotators ask for masks: which are there, and adding them.

They draw points and boxes that are prompts (`other_tags.py`), with the labels of the tags that draw masks.
They are inserted as text, so that everything else stays as a person wrote it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from ml_backend.label_studio.config.knobs import is_skipped
from ml_backend.label_studio.config.labeling import LabelConfig, LabelConfigError
from ml_backend.label_studio.config.markup import attribute, is_true, parse_xml, tags, targets
from ml_backend.label_studio.config.parsing import parse
from ml_backend.label_studio.config.places import Place, places

POINTS, BOXES = "dsal-points", "dsal-boxes"
"""Names of the tags that are added."""
SMART_NAMES = frozenset({POINTS, BOXES})

_KINDS: Mapping[str, tuple[str, str]] = MappingProxyType(
    {POINTS: ("KeyPointLabels", "KeyPoint"), BOXES: ("RectangleLabels", "Rectangle")}
)
"""Name → (tag with labels of its own, tag beside a <Labels> tag) for the same prompts."""
_COPIED = ("value", "alias", "background")
"""Attributes of a <Label> that its copies have as well; a copied hotkey would be there twice."""


@dataclass(frozen=True)
class SmartLabels:
    """The labels with which annotators can draw prompts over the served image."""

    points: frozenset[str]
    boxes: frozenset[str]

    def missing(self, config: LabelConfig) -> tuple[str, ...]:
        """The config's labels for which there are no points or no boxes."""
        return tuple(label for label in config.labels if label not in self.points & self.boxes)


def smart_labels(xml: str, config: LabelConfig) -> SmartLabels:
    """The labels that the smart tags of a labeling config have; `config` is what was parsed from it."""
    root = parse_xml(xml)
    return SmartLabels(*(_labels_of(root, config, name) for name in (POINTS, BOXES)))


def add_smart_tags(xml: str) -> str:
    """The labeling config with smart points and boxes for all labels; unchanged if it has them.

    New tags come after the last tag that draws masks, so that the keys 1, 2, … of its labels stay. A tag of
    ours that lacks a label gets it. Nothing else changes: neither the text, nor how any region is read.

    Raises:
        LabelConfigError: the config cannot be served, or has another tag with the name of one of ours.
    """
    config = parse(xml)
    root = parse_xml(xml)
    written = _label_tags(root, config)
    changed = xml
    for name in (POINTS, BOXES):
        missing = [label for label in config.labels if label not in _labels_of(root, config, name)]
        if missing:
            changed = _add(changed, config, name, [written[label] for label in missing])
    after = parse(changed)
    if (after.image_tag, after.labels, after.controls) != (config.image_tag, config.labels, config.controls):
        raise LabelConfigError("Smart tags would change how regions of this labeling config are read.")
    return changed


def remove_smart_tags(xml: str) -> str:
    """The labeling config without the tags of our names; unchanged if it has none.

    Raises:
        LabelConfigError: the text is not XML, or declares entities or a DTD.
    """
    ours = [place for place in places(xml) if place.name in SMART_NAMES]
    for place in sorted(ours, key=lambda place: -place.start):
        start = place.start - len(_indent(xml, place))
        xml = xml[:start] + xml[place.end :]
    return xml


def _labels_of(root: ElementTree.Element, config: LabelConfig, name: str) -> frozenset[str]:
    """The labels of all smart tags over the image that draw the same prompts as ours of that name."""
    with_labels, without = (tag.lower() for tag in _KINDS[name])
    found: set[str] = set()
    for tag in tags(root, with_labels, without):
        if _is_smart(tag, config):
            sources = [tag] if tag.tag.lower() == with_labels else tags(root, "labels")
            found.update(
                _name(label)
                for source in sources
                if targets(source) == (config.image_tag,)
                for label in tags(source, "label")
            )
    return frozenset(found)


def _is_smart(tag: ElementTree.Element, config: LabelConfig) -> bool:
    smart = is_true(tag, "smart") or is_true(tag, "smartOnly")
    return smart and targets(tag) == (config.image_tag,) and not is_skipped(tag)


def _name(label: ElementTree.Element) -> str:
    return attribute(label, "alias") or attribute(label, "value")


def _label_tags(root: ElementTree.Element, config: LabelConfig) -> dict[str, str]:
    """For each label the text of a <Label> tag that looks like the one of the first tag that draws it."""
    sources = {one.labels_tag or one.name for one in config.controls}
    written: dict[str, str] = {}
    for tag in root.iter():
        if isinstance(tag.tag, str) and attribute(tag, "name") in sources:
            for label in tags(tag, "label"):
                copied = ((key, attribute(label, key)) for key in _COPIED)
                attributes = "".join(f" {key}={quoteattr(text)}" for key, text in copied if text)
                written.setdefault(_name(label), f"<Label{attributes}/>")
    return written


def _add(xml: str, config: LabelConfig, name: str, labels: list[str]) -> str:
    """The config with these labels in our tag of that name, which is made if there is none."""
    found = places(xml)
    own = next((place for place in found if place.name == name), None)
    if own is None:
        return _insert(xml, _last_drawing(found, config), _tag(name, config.image_tag, labels))
    same = [one for one in parse_xml(xml).iter() if attribute(one, "name") == name]
    if len(same) > 1:
        raise LabelConfigError(f'The labeling config has {len(same)} tags with the name "{name}": keep one.')
    (tag,) = same
    if own.tag.lower() != _KINDS[name][0].lower() or not _is_smart(tag, config):
        raise LabelConfigError(
            f'The labeling config has a <{own.tag} name="{name}">, which is no smart <{_KINDS[name][0]}> '
            "over its image: give it another name, or remove it."
        )
    return _fill(xml, own, labels)


def _last_drawing(found: Iterable[Place], config: LabelConfig) -> Place:
    """Where the last tag is that draws masks or has their labels, or our first tag if that is later."""
    names = {name for one in config.controls for name in (one.name, one.labels_tag) if name}
    return max((place for place in found if place.name in names | SMART_NAMES), key=lambda place: place.end)


def _tag(name: str, image: str, labels: list[str]) -> list[str]:
    """The lines of a tag."""
    kind = _KINDS[name][0]
    start = f'<{kind} name="{name}" toName={quoteattr(image)} smart="true" smartOnly="true">'
    return [start, *(f"  {label}" for label in labels), f"</{kind}>"]


def _insert(xml: str, after: Place, lines: Iterable[str]) -> str:
    """The text with lines after a tag, indented like it, or in its line if it begins within one."""
    gap = _indent(xml, after)
    text = "".join(f"{gap}{line}" if gap else line.lstrip() for line in lines)
    return xml[: after.end] + text + xml[after.end :]


def _fill(xml: str, tag: Place, labels: Iterable[str]) -> str:
    """The text with labels at the end of a tag's content."""
    gap = _indent(xml, tag)
    text = "".join(f"{gap}  {label}" if gap else label for label in labels)
    if tag.is_empty:
        start = xml[tag.start : tag.end].removesuffix("/>").rstrip()
        return f"{xml[: tag.start]}{start}>{text}{gap}</{tag.tag}>{xml[tag.end :]}"
    content = len(xml[: tag.closing].rstrip())
    return xml[:content] + text + xml[content:]


def _indent(xml: str, tag: Place) -> str:
    """The line break and the spaces before a tag; empty if something else is before it in its line."""
    line = xml.rfind("\n", 0, tag.start)
    before = xml[line + 1 : tag.start]
    return f"\n{before}" if line >= 0 and not before.strip() else ""
