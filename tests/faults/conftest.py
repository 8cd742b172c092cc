"""Faults, provoked one by one; with DSAL_FAULTS=long for as long, and in as many ways, as they may come.

docs/reliability.md has what is promised, and the figures of the long variants, which CI does not run.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.loop.conftest import make_board, phantoms
from tests.ml_backend.conftest import (
    client,
    database,
    database_url,
    postgresql_server,
    postgresql_url,
    redis_server,
    redis_url,
    services,
    settings,
)

__all__ = [
    "client",
    "database",
    "database_url",
    "make_board",
    "phantoms",
    "postgresql_server",
    "postgresql_url",
    "redis_server",
    "redis_url",
    "services",
    "settings",
]
"""Fixtures of other folders."""

LONG = os.environ.get("DSAL_FAULTS") == "long"

only_long = pytest.mark.skipif(not LONG, reason="DSAL_FAULTS=long runs it: it would take CI too long.")


@pytest.fixture
def is_long() -> bool:
    """Whether the long variants are run."""
    return LONG


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """A function that mounts a disk of so many bytes in memory; it may be called once."""
    folder = tmp_path / "small-disk"
    folder.mkdir()
    mounted = False

    def mount(size: int) -> Path:
        nonlocal mounted
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        if sys.platform != "linux" or os.geteuid() != 0:
            pytest.skip("Only root may mount a small disk.")
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"No disk can be mounted here: {done.stderr.strip()}")
        mounted = True
        return folder

    yield mount
    if mounted:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)
