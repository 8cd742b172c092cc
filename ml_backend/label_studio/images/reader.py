"""From a task's data to its pixels: fetched by `ml_backend`, decoded by `model`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.config import LabelConfig
from ml_backend.label_studio.images.cache import CacheBound, ImageCache, ImageUnavailable
from ml_backend.label_studio.images.downloads import Downloader
from model.imaging.decoding import ImageError, decode_image

IMAGE_FAULTS = (ImageUnavailable, ImageError)
"""Errors that concern one task's image only; callers go on with other tasks."""


class ImageReader:
    """Reads the grey image (H, W) of a task through the bounded cache; safe to share between threads."""

    def __init__(
        self, download: Downloader, base_url: str, root: Path, cache_bytes: int, pixels: int
    ) -> None:
        self._download = download
        self._base_url = base_url
        self._root = root
        self._bound = CacheBound(root, cache_bytes)
        self._pixels = pixels

    def read(
        self, project_id: int, task_id: int, data: Mapping[str, Any], config: LabelConfig
    ) -> NDArray[np.uint8] | NDArray[np.uint16]:
        """The task's image as grey values (H, W), EXIF orientation applied.

        Raises:
            ImageUnavailable: it cannot be fetched.
            ImageError: it cannot be decoded, or has too many pixels; it is fetched again next time.
            LabelStudioError: no token is available, so no image of Label Studio can be fetched.
        """
        cache = ImageCache(
            self._root,
            self._download,
            base_url=self._base_url,
            project=project_id,
            bound=self._bound,
        )
        content = cache.fetch(task_id, data, config)
        try:
            return decode_image(content, max_pixels=self._pixels)
        except ImageError as error:
            cache.forget(task_id, data, config)
            raise ImageError(f"Task {task_id}: {error}") from error
