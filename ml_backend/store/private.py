"""Files that only the service's own user may read, since they hold patients' images and masks."""

from __future__ import annotations

import logging
import os
import stat
from pathlib import Path

logger = logging.getLogger(__name__)

FOLDER, FILE = 0o700, 0o600


def private_folder(folder: Path) -> None:
    """Create a folder for this user alone, or take from others what access they have to an existing one."""
    folder.mkdir(parents=True, exist_ok=True, mode=FOLDER)
    _tighten(folder, FOLDER)


def private_database(file: Path) -> None:
    """The same for the file of an SQLite database and the files beside it, which get its mode."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=FOLDER)
    os.close(os.open(file, os.O_CREAT | os.O_RDWR, FILE))
    for each in (file, *(file.with_name(f"{file.name}-{suffix}") for suffix in ("wal", "shm", "journal"))):
        _tighten(each, FILE)


def _tighten(path: Path, mode: int) -> None:
    try:
        found = stat.S_IMODE(path.stat().st_mode)
    except FileNotFoundError:
        return
    if not found & ~mode:
        return
    try:
        path.chmod(found & mode)
    except OSError as error:
        logger.warning(
            "%s is open to other users (mode %04o), and that cannot be changed: %s.", path, found, error
        )
    else:
        logger.warning("%s was open to other users (mode %04o); now it has the mode %04o.", path, found, mode)
