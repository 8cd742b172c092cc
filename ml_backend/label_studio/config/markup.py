"""The XML of a labeling config: read safely, with tags and attributes in any case, as the editor reads it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn
from xml.etree import ElementTree

from defusedxml import ElementTree as SafeElementTree  # type: ignore[import-untyped]
from defusedxml.common import DefusedXmlException  # type: ignore[import-untyped]

from ml_backend.label_studio.config.labeling import LabelConfigError

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


def is_true(tag: ElementTree.Element, name: str) -> bool:
    """Whether an attribute is "true"."""
    return attribute(tag, name).strip().lower() == "true"


def targets(tag: ElementTree.Element) -> tuple[str, ...]:
    """The names in a tag's `toName`."""
    return tuple(name for part in attribute(tag, "toName").split(",") if (name := part.strip()))


def several_targets(tag: ElementTree.Element) -> str:
    """The sentence about a tag whose `toName` names several tags; the editor draws nothing with it."""
    bound = f'(toName="{attribute(tag, "toName")}")'
    return (
        f"{named(tag)} is bound to several tags {bound}, which is not supported: give each image a tag of "
        "its own."
    )


def named(tag: ElementTree.Element) -> str:
    """A tag for a message, such as `<BrushLabels name="mask">`."""
    return f'<{tag.tag} name="{attribute(tag, "name")}">'


def refuse(sentence: str) -> NoReturn:
    """Raise LabelConfigError; the sentence comes without its full stop."""
    raise LabelConfigError(f"{sentence}.")
