"""Rows of the database that the page shows."""

from __future__ import annotations

import numpy as np

from ml_backend.label_studio.config import default_config
from ml_backend.learn.evidence import picture as picture_of
from ml_backend.store.models import ExaminedLabel
from ml_backend.store.version_names import IMAGE_DSC, LABEL_DSC, LABEL_IMAGES

CONFIG = default_config(["Bone", "Soft"])
PICTURE = "ab" * 32
"""Name of an image in the cache."""


def metrics(dsc: list[float]) -> dict[str, object]:
    """The metrics of a version with these Dice of the label Bone, one for each validation image."""
    return {
        "validation_dsc": float(np.mean(dsc)),
        "validation_images": len(dsc),
        LABEL_DSC: {"Bone": float(np.mean(dsc)), "Soft": 0.5},
        LABEL_IMAGES: {"Bone": len(dsc), "Soft": 1},
        IMAGE_DSC: [{"task": 50 + place, "dsc": {"Bone": value}} for place, value in enumerate(dsc)],
    }


def suspicious_label(number: int, *, wrong: bool) -> ExaminedLabel:
    """An examined label: in an image of 40 x 90 pixels, an object at the top was forgotten."""
    seen = np.zeros((40, 90), np.uint8)
    seen[5:20, 60:80] = 2
    place = (60, 5, 80, 20)
    image = np.full((40, 90), 90, np.uint8)
    drawn, mark = picture_of(image, np.zeros_like(seen), seen, place) if wrong else (None, [])
    return ExaminedLabel(
        project_id=3,
        annotation_id=number,
        task_id=100 + number,
        digest="",
        changed_at="",
        score=0.9 if wrong else 0.1,
        is_suspicious=wrong,
        reason="340 pixels of <Bone> are not seen" if wrong else "",
        version="p3-fold1-12345678",
        picture=drawn,
        mark=mark,
    )
