"""The folder in which a demo keeps everything: emptied at the start, used by one demo at a time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

MARK = ".dsal-demo"
"""File that makes a folder a demo's own; it is also the lock that a running demo holds."""


class WorkplaceError(RuntimeError):
    """The folder cannot be used; one sentence that says which other to give."""


@contextmanager
def own(folder: Path) -> Iterator[Path]:
    """An empty folder of our own, as an absolute path; what an earlier demo left there goes.

    Raises:
        WorkplaceError: another demo runs there, or the folder holds what no demo has made.
    """
    folder = folder.expanduser().resolve()
    if folder.exists() and not folder.is_dir():
        raise WorkplaceError(f"{folder} is a file; give --folder another place.")
    mark = folder / MARK
    if folder.is_dir() and not mark.exists() and any(folder.iterdir()):
        raise WorkplaceError(
            f"{folder} holds files that no demo has made, and would be emptied; give a new --folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(mark)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise WorkplaceError(f"Another demo uses {folder}; end it, or give another --folder.") from error
    try:
        for entry in folder.iterdir():
            if entry == mark:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        yield folder
    finally:
        lock.release()
