"""Reading a labeling config as XML, safely, and without regard to case as Label Studio's editor does."""

from __future__ import annotations

from collections.abc import Iterator
from xml.etree import ElementTree

from defusedxml import ElementTree as SafeElementTree  # type: ignore[import-untyped]
from defusedxml.common import DefusedXmlException  # type: ignore[import-untyped]

from .config import LabelConfigError

EXAMPLE = (
    '<BrushLabels name="mask" toName="image"><Label value="Bone"/></BrushLabels> '
    'beside <Image name="image" value="$image"/>'
)


def parse_xml(xml: str) -> ElementTree.Element:
    """The root of a labeling config; LabelConfigError if it is no XML, or declares entities or a DTD."""
    try:
        root: ElementTree.Element = SafeElementTree.fromstring(xml, forbid_dtd=True)
    except DefusedXmlException:
        raise LabelConfigError(
            "The labeling config declares entities or a DTD: take the declaration out."
        ) from None
    except (ElementTree.ParseError, ValueError) as error:
        raise LabelConfigError(
            f"The labeling config is no well-formed XML ({error}): add {EXAMPLE}."
        ) from None
    return root


def tags(root: ElementTree.Element, *names: str) -> Iterator[ElementTree.Element]:
    """All tags of these lower-case names, in document order."""
    return (tag for tag in root.iter() if isinstance(tag.tag, str) and tag.tag.lower() in names)


def attribute(tag: ElementTree.Element, name: str) -> str:
    """An attribute's value, or an empty text."""
    wanted = name.lower()
    return next((value for key, value in tag.attrib.items() if key.lower() == wanted), "")
