"""The labels that annotators drew, as pictures in the pixels of their images."""

from __future__ import annotations

import base64
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from ml_backend.export.labels import Labels
from ml_backend.export.pictures import Picture
from ml_backend.export.source import Item
from ml_backend.label_studio.config import parse
from ml_backend.label_studio.images.reader import ImageReader
from ml_backend.label_studio.regions import rle
from ml_backend.label_studio.tasks import annotated_task
from ml_backend.settings import Settings
from tests.ml_backend.label_studio.images.fetching import downloader

CONFIG = parse(
    '<View><Image name="image" value="$image"/><Image name="back" value="$back"/>'
    '<PolygonLabels name="p" toName="image"><Label value="Bone"/></PolygonLabels>'
    '<BrushLabels name="mask" toName="image"><Label value="Bone"/></BrushLabels></View>'
)
SIZE = (120, 160)


def region(kind: str, value: dict[str, Any], width: Any, height: Any, **fields: Any) -> dict[str, Any]:
    name = "mask" if kind == "brushlabels" else "p"
    stated = {"original_width": width, "original_height": height, "image_rotation": 0}
    return {"id": "r", "from_name": name, "to_name": "image", "type": kind, **stated, **fields} | {
        "value": {**value, kind: ["Bone"]}
    }


def outline(width: Any, height: Any, **fields: Any) -> dict[str, Any]:
    points = [[25, 25], [75, 25], [75, 75], [25, 75]]
    return region("polygonlabels", {"points": points, "closed": True}, width, height, **fields)


def brush(width: int, height: int, **fields: Any) -> dict[str, Any]:
    drawn = np.zeros((height, width), np.uint8)
    drawn[height // 4 : height * 3 // 4, width // 4 : width * 3 // 4] = 255
    return region("brushlabels", {"format": "rle", "rle": rle.encode(drawn)}, width, height, **fields)


def exported(folder: Path, result: list[Any]) -> Picture:
    """The picture of a task with one annotation, whose image has `SIZE`."""
    submitted = {
        "id": 9,
        "result": result,
        "updated_at": "2026-11-22T10:00:00Z",
        "was_cancelled": False,
        "ground_truth": False,
        "updated_by": 1,
    }
    png = base64.b64encode(cv2.imencode(".png", np.zeros(SIZE, np.uint8))[1].tobytes()).decode()
    data = {"image": f"data:image/png;base64,{png}"}
    task = annotated_task({"id": 7, "data": data, "annotations": [submitted]})
    context: Any = SimpleNamespace(
        settings=Settings(model_dir=folder),
        label_studio=SimpleNamespace(labelled_tasks=lambda _project: [task]),
        images=ImageReader(downloader(), "http://label-studio", folder / "c", 1 << 20, 10**6),
    )
    (item,) = Labels(context, 3, CONFIG).items()
    assert isinstance(item, Item)
    return item.read()


@pytest.mark.parametrize(
    "result",
    [
        [outline(160, 120)],
        [outline(640, 480)],
        [outline(1, 1)],
        [outline(0, 0)],
        [outline(None, None)],
        [outline("640", 480.0)],
        [brush(160, 120), outline(640, 480)],
        [brush(160, 120)],
    ],
)
def test_a_mask_has_the_pixels_of_its_image_whatever_size_an_outline_states(
    tmp_path: Path, result: list[Any]
) -> None:
    picture = exported(tmp_path, result)
    assert picture.label_map.shape == SIZE
    assert (picture.label_map == 1).sum() == 4800
    assert not picture.notes


def test_a_mask_over_another_image_does_not_tell_the_size(tmp_path: Path) -> None:
    picture = exported(tmp_path, [brush(300, 300, to_name="back", from_name="other")])
    assert picture.label_map.shape == SIZE
    assert not picture.label_map.any()
