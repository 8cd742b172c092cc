"""A file that takes all the room of a disk."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def fill(folder: Path) -> Path:
    """Leave no byte free in the file system of a folder; returns the file that fills it."""
    path = folder / "ballast"
    block = b"\0" * 2**16
    with path.open("ab", buffering=0) as file:
        while block:
            try:
                written = file.write(block)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                written = 0
            if not written:
                block = block[: len(block) // 2]
    return path


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """A full disk for the duration of the block."""
    path = fill(folder)
    try:
        assert os.statvfs(folder).f_bavail == 0
        yield
    finally:
        path.unlink()
