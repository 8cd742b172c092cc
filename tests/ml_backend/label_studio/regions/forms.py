"""Helpers for region tests: a labeling config with every form, its regions, and their reading."""

from __future__ import annotations

import base64
import io
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ml_backend.label_studio.config import parse
from ml_backend.label_studio.regions.masks import Reading, label_map
from ml_backend.label_studio.regions.probability import Probabilities

SIZE = (100, 200)
"""(H, W): one percent is one row, and two columns."""

FORMS = {
    "brushlabels": "BrushLabels",
    "bitmasklabels": "BitmaskLabels",
    "polygonlabels": "PolygonLabels",
    "vectorlabels": "VectorLabels",
    "ellipselabels": "EllipseLabels",
    "rectanglelabels": "RectangleLabels",
}

LABELS = '<Label value="Bone"/><Label value="Nail"/>'

CONFIG = parse(
    '<View><Image name="image" value="$image"/>'
    + "".join(
        f'<{tag} name="{kind}" toName="image" closable="true">{LABELS}</{tag}>' for kind, tag in FORMS.items()
    )
    + "</View>"
)


def by_label(known: Mapping[int, float]) -> Probabilities:
    """Probabilities that are the same for all parts of a label."""
    return lambda index, parts: [known[index]] * int(parts.max())


SQUARE = [[10, 20], [30, 20], [30, 50], [10, 50]]


def read(kind: str, value: dict[str, Any], size: tuple[int, int] = SIZE) -> Reading:
    """The reading of one region with the label Bone."""
    region = {
        "id": "ab12",
        "from_name": kind,
        "to_name": "image",
        "type": kind,
        "original_width": size[1],
        "original_height": size[0],
        "image_rotation": 0,
        "value": {kind: ["Bone"], **value},
    }
    return label_map([region], CONFIG, size)


def box(top: int, bottom: int, left: int, right: int) -> NDArray[np.bool_]:
    """A mask of `SIZE` that is true between these rows and columns."""
    mask = np.zeros(SIZE, np.bool_)
    mask[top:bottom, left:right] = True
    return mask


def chain(points: Sequence[Sequence[float]], **curves: Any) -> dict[str, Any]:
    """A closed vector as the editor writes it."""
    last = len(points) - 1
    vertices = [
        {"id": f"p{n}", "prevPointId": f"p{n - 1 if n else last}", "x": x, "y": y, "isBezier": False}
        for n, (x, y) in enumerate(points)
    ]
    for name, handles in curves.items():
        vertices[int(name[1:])] |= {"isBezier": True, **handles}
    return {"vertices": vertices, "closed": True}


def uri(image: Image.Image, kind: str = "PNG", **options: Any) -> str:
    """The image's file as a data URI."""
    target = io.BytesIO()
    image.save(target, kind, **options)
    return f"data:image/{kind.lower()};base64," + base64.b64encode(target.getvalue()).decode()
