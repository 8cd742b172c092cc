"""The folder of a demo's data and logs: emptied at the start, and used by one demo at a time."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

MARK = ".dsal-demo"
"""File that marks a demo's folder, which may be emptied; a running demo holds a lock on it."""


class FolderError(RuntimeError):
    """The folder cannot be used; the message says what to do."""


@contextmanager
def locked_folder(folder: Path) -> Iterator[Path]:
    """Lock and empty the folder for the `with` block, and give its absolute path.

    Raises:
        FolderError: another demo uses the folder, or it has files that no demo has written.
    """
    folder = folder.expanduser().resolve()
    if folder.exists() and not folder.is_dir():
        raise FolderError(f"{folder} is a file; give another --folder.")
    mark = folder / MARK
    if folder.is_dir() and not mark.exists() and any(folder.iterdir()):
        raise FolderError(
            f"{folder} has files that no demo has written, and would be emptied; give a new --folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(mark)
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise FolderError(f"Another demo uses {folder}; end it, or give another --folder.") from error
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
