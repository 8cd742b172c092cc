"""The labeling config of a new project."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle
from xml.etree import ElementTree

from .config import LabelConfigError
from .parsing import check_labels

COLOURS = ("#e8772e", "#2e9fe8", "#6cc04a", "#c94fd1", "#e8d22e", "#2ec9b7", "#e83a5f", "#8a6df1")
"""Colours of a new project's labels: strong ones that stand out on grey radiographs; repeated past eight."""


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
    check_labels('<BrushLabels name="mask">', names)
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
