"""The files of the image cache by name, for readers that never download; it imports nothing heavy."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def read_cached(root: Path, project: int, name: str) -> bytes | None:
    """The encoded image of this name in a project's cache; None if it is not there (any more)."""
    return read_file(path_of(root, project, name))


def path_of(root: Path, project: int, name: str) -> Path:
    """Where the cache below `root` has a project's image of this name."""
    return root / str(project) / name[:2] / name


def read_file(path: Path) -> bytes | None:
    """The content of a cached file, or None; sets its mtime as time of use, as many mounts lack atime."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    with suppress(FileNotFoundError):
        os.utime(path)
    return content
