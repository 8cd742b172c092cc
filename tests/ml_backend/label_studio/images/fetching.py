"""Helpers to fetch images and to inspect the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ml_backend.label_studio.client import LabelStudio
from ml_backend.label_studio.config import default_config, parse
from ml_backend.label_studio.images.cache import ImageCache
from ml_backend.label_studio.images.downloads import Downloader
from ml_backend.label_studio.tokens import Credentials

CONFIG = parse(default_config(["Bone"]))


def legacy_token() -> Credentials:
    """Credentials that send "Token secret"."""
    return LabelStudio("http://localhost:1", "secret").credentials


def downloader(seconds: float = 5.0, max_bytes: int = 1 << 20) -> Downloader:
    return Downloader(legacy_token(), seconds=seconds, max_bytes=max_bytes)


def fetch(cache: ImageCache, address: Any, task: int = 7) -> bytes:
    """The image of a task with this address."""
    return cache.fetch(task, {"image": address}, CONFIG)


def files(cache: ImageCache) -> list[Path]:
    """The files in the cache."""
    return list(cache._root.glob("[0-9]*/[0-9a-f][0-9a-f]/*"))
