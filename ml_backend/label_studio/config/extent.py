"""How large a labeling config may be: reading one takes time with the square of its tags."""

from __future__ import annotations

from xml.etree import ElementTree

from ml_backend.label_studio.config.labeling import LabelConfigError
from ml_backend.label_studio.config.markup import parse_xml, tags
from ml_backend.label_studio.config.other_tags import WITH_LABELS, WITHOUT_LABELS

MOST_TAGS = 5000
"""Tags of a labeling config; 255 labels in each of ten tags, with choices, stay below."""
MOST_CONTROLS = 100
"""Tags that draw masks or hold their labels."""


def check_extent(xml: str) -> None:
    """Raise LabelConfigError for a labeling config that is too large; one that cannot be read passes."""
    if not xml.strip():
        return
    try:
        root = parse_xml(xml)
    except LabelConfigError:
        return
    check_tags(root)


def check_tags(root: ElementTree.Element) -> None:
    """Raise LabelConfigError for too many tags."""
    count = sum(1 for _ in root.iter())
    if count > MOST_TAGS:
        raise LabelConfigError(
            f"The labeling config has {count} tags, more than the {MOST_TAGS} that are read: make it smaller."
        )
    drawing = sum(1 for _ in tags(root, *WITH_LABELS, *WITHOUT_LABELS, "labels"))
    if drawing > MOST_CONTROLS:
        raise LabelConfigError(
            f"The labeling config has {drawing} tags to draw with, more than the {MOST_CONTROLS} that are "
            "read: put labels together in one tag."
        )
