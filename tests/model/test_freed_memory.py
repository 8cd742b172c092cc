from __future__ import annotations

import platform
import resource
import subprocess
import sys

import pytest

from model.freed_memory import keep_freed_memory, release_freed_memory, share_arenas

BLOCKS = """
import ctypes, re, resource, sys
from pathlib import Path
from model.freed_memory import keep_freed_memory, release_freed_memory

def resident():
    return int(re.search(r"VmRSS:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) >> 10

if "keep" in sys.argv:
    keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
blocks = [None] * 4
for _ in range(5):
    for number in range(len(blocks)):
        blocks[number] = libc.malloc(ctypes.c_size_t(64 << 20))
        ctypes.memset(ctypes.c_void_p(blocks[number]), 1, 64 << 20)
    wall = libc.malloc(ctypes.c_size_t(4096))
    for block in blocks:
        libc.free(block)
if "release" in sys.argv:
    release_freed_memory()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt, resident())
"""

glibc_only = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")


def page_faults_and_megabytes(*mode: str) -> tuple[int, int]:
    done = subprocess.run([sys.executable, "-c", BLOCKS, *mode], capture_output=True, text=True, check=True)
    faults, megabytes = done.stdout.split()
    return int(faults), int(megabytes)


def test_it_can_be_called_again() -> None:
    assert keep_freed_memory() == keep_freed_memory()


@glibc_only
def test_large_freed_blocks_are_reused_without_page_faults_until_they_are_released() -> None:
    pages = (64 << 20) // resource.getpagesize()
    left, _ = page_faults_and_megabytes("leave")
    kept, much = page_faults_and_megabytes("keep")
    assert left - kept > 10 * pages
    # Not only what lies at the end of the heap.
    _, little = page_faults_and_megabytes("keep", "release")
    assert much - little > 200


def test_other_allocators_are_left_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False
    release_freed_memory()
    share_arenas()
