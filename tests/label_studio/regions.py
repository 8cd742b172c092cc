"""A small region, and predictions that draw it."""

from __future__ import annotations

from typing import Any


def region(rle: list[int] | None = None) -> dict[str, Any]:
    value = {"format": "rle", "rle": rle or [0, 0, 0, 64, 57, 27], "brushlabels": ["Bone"]}
    return {
        "id": "ab12",
        "from_name": "mask",
        "to_name": "image",
        "type": "brushlabels",
        "original_width": 4,
        "original_height": 4,
        "image_rotation": 0,
        "value": value,
    }


def prediction(task: int, score: float, version: str = "v1", rle: list[int] | None = None) -> dict[str, Any]:
    return {"task": task, "result": [region(rle)], "score": score, "model_version": version}
