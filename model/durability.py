"""Writing that survives a power failure."""

from __future__ import annotations

import os
from pathlib import Path


def sync(*paths: Path) -> None:
    """Make the system write these files and folders to their disk now.

    A file is to be synced before it gets its final name, and then its folder: a system that loses power may
    otherwise have renamed a file that it never wrote.
    """
    for path in paths:
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
