"""From a task's data to its pixels: fetched by `ml_backend`, decoded by `model`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml_backend.label_studio.config import LabelConfig
from ml_backend.label_studio.images.cache import CacheBound, ImageCache, ImageUnavailable
from ml_backend.label_studio.images.downloads import Downloader
from ml_backend.label_studio.images.places import Places
from model.imaging.decoding import ImageError, image_size
from model.imaging.isolated import IsolatedDecoder

Grey = NDArray[np.uint8] | NDArray[np.uint16]
Read = Callable[[int, Mapping[str, Any], LabelConfig], Grey]
"""A function from (task id, task data, labeling config) to the grey image (H, W)."""

IMAGE_FAULTS = (ImageUnavailable, ImageError)
"""Errors that concern one task's image only; callers go on with other tasks."""


class ImageReader:
    """Reads the grey image (H, W) of a task through the bounded cache; safe to share between threads."""

    def __init__(
        self,
        download: Downloader,
        base_url: str,
        root: Path,
        cache_bytes: int,
        pixels: int,
        here: int | None = None,
        places: Places | None = None,
    ) -> None:
        """Set where images come from, and the limits.

        Args:
            download: fetches the file of an image.
            base_url: address of Label Studio.
            root: folder of the cache.
            cache_bytes: size of the cache.
            pixels: largest image that is decoded anywhere.
            here: largest image that this process reads, as it answers requests; None for the same.
            places: of the images that this process has in memory; None for no limit.
        """
        self._download = download
        self._base_url = base_url
        self._root = root
        self._bound = CacheBound(root, cache_bytes)
        self._here = here
        self._places = places or Places()
        self._pixels = pixels
        self._decoder = IsolatedDecoder(pixels)

    def read(self, project_id: int, task_id: int, data: Mapping[str, Any], config: LabelConfig) -> Grey:
        """The task's image as grey values (H, W), EXIF orientation applied.

        Raises:
            ImageUnavailable: it cannot be fetched, or is too large for this process and left to the workers.
            ImageError: it cannot be decoded, or has too many pixels; it is fetched again next time.
            LabelStudioError: no token is available, so no image of Label Studio can be fetched.
        """
        cache = self._cache(project_id)
        content = cache.fetch(task_id, data, config)
        try:
            self._make_room(task_id, content)
            return self._decoder.decode(content)
        except ImageError as error:
            cache.forget(task_id, data, config)
            raise ImageError(f"Task {task_id}: {error}") from error

    def size(
        self, project_id: int, task_id: int, data: Mapping[str, Any], config: LabelConfig
    ) -> tuple[int, int]:
        """(H, W) of the task's image as `read` returns it, from its header only; the same errors."""
        cache = self._cache(project_id)
        try:
            return image_size(cache.fetch(task_id, data, config), max_pixels=self._pixels)
        except ImageError as error:
            cache.forget(task_id, data, config)
            raise ImageError(f"Task {task_id}: {error}") from error

    def _make_room(self, task_id: int, content: bytes) -> None:
        if self._here is None:
            return
        height, width = image_size(content, max_pixels=self._pixels)
        self._places.take_for(height * width)
        if height * width > self._here:
            reason = (
                f"it has {width}×{height} pixels, and this process reads images of at most {self._here}; "
                "the workers draw and score it"
            )
            raise ImageUnavailable(task_id, reason)

    def cached_as(
        self, project_id: int, task_id: int, data: Mapping[str, Any], config: LabelConfig
    ) -> str | None:
        """Name of the task's image in the cache (`cached.read_cached`); None for one that is never cached."""
        return self._cache(project_id).name_of(task_id, data, config)

    def _cache(self, project_id: int) -> ImageCache:
        return ImageCache(
            self._root,
            self._download,
            base_url=self._base_url,
            project=project_id,
            bound=self._bound,
            before_reading=self._places.take,
        )


class ReadAhead:
    """Reads the image of the next task while its caller works on the one before.

    Called as `read` is, and with the same errors, it answers for `tasks` from the images that it has read
    ahead, one at a time. Tasks may be left out or come in another order, which only costs the time saved.

    Args:
        read: reads one image; it is called in a thread of its own.
        tasks: data by task, in the order in which the caller will ask for them.
        config: the labeling config.
    """

    def __init__(self, read: Read, tasks: Mapping[int, Mapping[str, Any]], config: LabelConfig) -> None:
        self._read, self._config = read, config
        self._waiting = iter(tasks.items())
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="read-ahead")
        self._next: tuple[int, Future[Grey]] | None = None
        self._go_on()

    def __call__(self, task_id: int, data: Mapping[str, Any], config: LabelConfig) -> Grey:
        """The grey image (H, W) of a task."""
        if self._next is None or self._next[0] != task_id or config != self._config:
            return self._read(task_id, data, config)
        image = self._next[1]
        self._go_on()
        return image.result()

    def _go_on(self) -> None:
        task = next(self._waiting, None)
        if task is None:
            self._next = None
            self._pool.shutdown(wait=False)
        else:
            self._next = task[0], self._pool.submit(self._read, *task, self._config)
