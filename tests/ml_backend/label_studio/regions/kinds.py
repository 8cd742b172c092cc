"""Regions of every form, for the tests of what is read and what is not."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from label_studio_sdk.converter.brush import mask2rle
from numpy.typing import NDArray
from PIL import Image

from ml_backend.label_studio.config import LabelConfig, parse
from tests.ml_backend.label_studio.regions.forms import FORMS

SIZE = (120, 160)
"""(H, W) of the image."""
TAGS = FORMS
"""The control tag of each kind of region with labels."""
PIXELWISE = ("brushlabels", "bitmasklabels")
IN_PERCENT = ("polygonlabels", "vectorlabels", "ellipselabels", "rectanglelabels")


def config(*tags: str) -> LabelConfig:
    """A labeling config of these tags over one image."""
    return parse(f'<View><Image name="image" value="$image"/>{"".join(tags)}</View>')


def control(kind: str, name: str = "mask", labels: tuple[str, ...] = ("Bone",), **attributes: str) -> str:
    """A tag with labels, for regions of this type."""
    written = "".join(f' {key}="{text}"' for key, text in ({"closable": "true"} | attributes).items())
    inner = "".join(f'<Label value="{label}"/>' for label in labels)
    return f'<{TAGS[kind]} name="{name}" toName="image"{written}>{inner}</{TAGS[kind]}>'


def box(left: float, top: float, right: float, bottom: float) -> NDArray[np.bool_]:
    """The pixels of a box that is given in percent."""
    height, width = SIZE
    rows, columns = (np.arange(height) + 0.5) / height * 100, (np.arange(width) + 0.5) / width * 100
    inside: NDArray[np.bool_] = np.outer(
        (rows >= top) & (rows < bottom), (columns >= left) & (columns < right)
    )
    return inside


def rle(alphas: NDArray[np.uint8]) -> dict[str, Any]:
    """A brush region's value, as the SDK writes it."""
    return {"format": "rle", "rle": mask2rle(alphas)}


def png(alphas: NDArray[np.uint8]) -> dict[str, Any]:
    """A bitmask region's value."""
    target = io.BytesIO()
    Image.fromarray(np.dstack([np.zeros((*alphas.shape, 3), np.uint8), alphas])).save(target, "PNG")
    return {"imageDataURL": "data:image/png;base64," + base64.b64encode(target.getvalue()).decode()}


def shape(kind: str, left: float, top: float, right: float, bottom: float) -> dict[str, Any]:
    """The value of a region of any form that covers a box in percent; an ellipse covers most of it."""
    corners = [[left, top], [right, top], [right, bottom], [left, bottom]]
    match kind.removesuffix("labels"):
        case "brush" | "magicwand":
            return rle(box(left, top, right, bottom).astype(np.uint8) * 255)
        case "bitmask":
            return png(box(left, top, right, bottom).astype(np.uint8) * 255)
        case "polygon":
            return {"points": corners, "closed": True}
        case "vector":
            return {"vertices": [{"x": x, "y": y} for x, y in corners], "closed": True}
        case "ellipse":
            across, along = (right - left) / 2, (bottom - top) / 2
            return {"x": left + across, "y": top + along, "radiusX": across, "radiusY": along, "rotation": 0}
    return {"x": left, "y": top, "width": right - left, "height": bottom - top, "rotation": 0}


def region(
    kind: str, value: dict[str, Any], *labels: str, name: str = "mask", **changes: Any
) -> dict[str, Any]:
    """A region as Label Studio stores it; `changes` replace its fields."""
    named = {kind: list(labels)} if labels else {}
    written: dict[str, Any] = {
        "id": "r",
        "from_name": name,
        "to_name": "image",
        "type": kind,
        "original_width": SIZE[1],
        "original_height": SIZE[0],
        "image_rotation": 0,
        "value": value | named,
    }
    return written | changes
