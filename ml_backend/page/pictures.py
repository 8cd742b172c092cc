"""Thumbnails of the next images with their masks, from the cache of images and the database alone."""

from __future__ import annotations

import threading
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from sqlalchemy.orm import Session

from ml_backend.label_studio.config import LabelConfigError, parse
from ml_backend.label_studio.images.cached import read_cached
from ml_backend.label_studio.regions.masks import label_map
from ml_backend.score import packing
from ml_backend.settings import Settings
from ml_backend.store import scores
from ml_backend.store.models import Project, Score
from model.imaging.decoding import Grey, ImageError, decode_image

SIDE = 240
"""Longer side of a thumbnail, in pixels."""

MOST_PIXELS = 40_000_000
"""Larger images get no thumbnail: decoding them would slow down the answers that Label Studio waits for."""

COLOURS = (
    (230, 159, 0),
    (86, 180, 233),
    (0, 158, 115),
    (240, 228, 66),
    (213, 94, 0),
    (204, 121, 167),
    (0, 114, 178),
    (255, 255, 255),
)
"""RGB of the labels in order, distinguishable by colour-blind people (Okabe and Ito 2008)."""

_decoding = threading.Semaphore(2)
"""How many pictures a process decodes at once; it guards memory, and is no state."""


class NoPictureError(Exception):
    """There is no picture; the message is a short sentence that says why."""


@dataclass(frozen=True)
class Thumbnail:
    """What a thumbnail is made from.

    Attributes:
        content: the encoded image.
        regions: its mask, as sent to Label Studio.
        label_config: how to read them.
    """

    content: bytes
    regions: list[dict[str, object]]
    label_config: str


def find(session: Session, settings: Settings, project: Project, version_id: int, task_id: int) -> Thumbnail:
    """What there is of a task.

    Raises:
        NoPictureError: the version does not know the task, or its image is not in the cache.
    """
    rows = scores.of_tasks(session, version_id, [task_id])
    if not rows:
        raise NoPictureError("No score")
    row: Score = rows[0]
    if row.error:
        raise NoPictureError("Could not be read")
    content = None
    if row.picture is not None:
        content = read_cached(settings.image_cache_dir, project.id, row.picture)
    if content is None:
        raise NoPictureError("Not in the cache")
    regions = [] if row.packed is None else packing.result(row.packed)
    return Thumbnail(content, regions, project.label_config)


def draw(thumbnail: Thumbnail, most_pixels: int = MOST_PIXELS) -> bytes:
    """The thumbnail as a JPEG: grey values stretched to 8 bits, each label filled lightly and outlined.

    Raises:
        NoPictureError: the image is too large or cannot be decoded.
    """
    with _decoding:
        try:
            grey = decode_image(thumbnail.content, max_pixels=most_pixels)
        except ImageError as error:
            raise NoPictureError("Too large or damaged") from error
    small = _small(grey)
    labels = _labels(thumbnail, grey.shape)
    colour = np.repeat(small[..., None], 3, axis=2)
    if labels is not None and labels.any():
        height, width = small.shape
        resized = cv2.resize(labels, (width, height), interpolation=cv2.INTER_NEAREST)
        paint(colour, np.asarray(resized, np.uint8))
    done, encoded = cv2.imencode(".jpg", colour[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 82])
    if not done:
        raise NoPictureError("Cannot be drawn")
    return encoded.tobytes()


def _small(grey: Grey) -> NDArray[np.uint8]:
    """(h, w) uint8 of at most `SIDE`, at least 1; 16-bit values are stretched between their extremes."""
    height, width = grey.shape
    scale = min(1.0, SIDE / max(height, width))
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA))
    if small.dtype == np.uint8:
        return small.astype(np.uint8)
    low, high = float(small.min()), float(small.max())
    return ((small - low) * (255.0 / max(high - low, 1.0))).astype(np.uint8)


def _labels(thumbnail: Thumbnail, size: tuple[int, ...]) -> NDArray[np.uint8] | None:
    if not thumbnail.regions:
        return None
    try:
        config = parse(thumbnail.label_config)
    except LabelConfigError:
        return None
    return label_map(thumbnail.regions, config, (size[0], size[1])).label_map


def paint(colour: NDArray[np.uint8], labels: NDArray[np.uint8]) -> None:
    """Fill the labels of a map (h, w) lightly and outline them, in place, in an RGB picture (h, w, 3)."""
    for index in np.unique(labels[labels > 0]):
        mask = (labels == index).astype(np.uint8)
        tone = np.array(COLOURS[(int(index) - 1) % len(COLOURS)], np.float32)
        inside = mask.astype(bool)
        colour[inside] = (0.7 * colour[inside] + 0.3 * tone).astype(np.uint8)
        outlines, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        for outline in outlines:
            colour[outline[:, 0, 1], outline[:, 0, 0]] = tone.astype(np.uint8)
