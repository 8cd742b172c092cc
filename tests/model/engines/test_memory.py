from __future__ import annotations

import platform
import resource
import subprocess
import sys

import pytest

from model.engines.hardware import keep_freed_memory

FAULTS = """
import ctypes, resource, sys
from model.engines.hardware import keep_freed_memory
if sys.argv[1] == "keep":
    keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
for _ in range(20):
    block = libc.malloc(ctypes.c_size_t(64 << 20))
    ctypes.memset(ctypes.c_void_p(block), 1, 64 << 20)
    libc.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt)
"""


def test_it_can_be_called_again() -> None:
    assert keep_freed_memory() == keep_freed_memory()


@pytest.mark.slow
@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="a setting of glibc")
def test_large_freed_blocks_are_reused_without_page_faults() -> None:
    def faults(mode: str) -> int:
        done = subprocess.run(
            [sys.executable, "-c", FAULTS, mode], capture_output=True, text=True, check=True
        )
        return int(done.stdout)

    pages = (64 << 20) // resource.getpagesize()
    assert faults("leave") - faults("keep") > 10 * pages


def test_other_allocators_are_left_unchanged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    assert keep_freed_memory() is False
