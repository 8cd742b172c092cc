"""What glibc does with freed memory: kept for the next allocation, or returned to the system.

Other allocators are left as they are; none of these functions does anything there.
"""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
M_ARENA_MAX = -8
LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Tell glibc to reuse large freed blocks instead of returning them to the system.

    By default glibc maps every block over 32 MB and unmaps it when freed, so each layer pays page faults for
    its output: a tenth of a forward, an eighth of a training step. With this setting the process keeps its
    peak memory until `release_freed_memory` is called, and more than that: blocks that are in use come to
    lie between free ones (benchmarks/README.md has figures). Calling it again changes nothing.

    Returns:
        Whether the setting was accepted; False without glibc.
    """
    return _set(M_MMAP_MAX, 0) and _set(M_TRIM_THRESHOLD, LARGEST_INT)


def release_freed_memory() -> None:
    """Return freed memory to the system once; what is allocated next pays for its pages again."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if _is_linux() else None
    if trim is not None:
        trim(0)


def share_arenas() -> None:
    """Have all threads of this process allocate from two arenas: each of them keeps what was freed in it."""
    _set(M_ARENA_MAX, 2)


def _set(parameter: int, value: int) -> bool:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if _is_linux() else None
    # musl has no mallopt; those of other allocators may refuse.
    return mallopt is not None and bool(mallopt(parameter, value))


def _is_linux() -> bool:
    return sys.platform.startswith("linux")
