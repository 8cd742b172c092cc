"""Processors: which number formats are native, and how freed memory stays in the process."""

from __future__ import annotations

import ctypes
import sys

import torch

M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Tell glibc to reuse large freed blocks instead of returning them to the kernel.

    By default glibc maps every block over 32 MB anew and unmaps it when freed, so each layer pays
    page faults for its output: a tenth of a forward, an eighth of a training step. With this setting
    the process keeps its peak. Calling it again changes nothing.

    Returns:
        Whether the setting was taken; elsewhere than on glibc nothing happens and it is False.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    # musl has no mallopt at all; other allocators may have one that refuses.
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, LARGEST_INT))


CAPABILITIES = ("avx512_bf16", "amx_bf16", "bf16")
"""As torch names them: AVX512-BF16 and AMX of x86-64, BF16 of Arm."""


def cpu_computes_bf16() -> bool:
    """Whether this processor multiplies bf16 itself, and torch has the library (oneDNN) that lets it.

    Otherwise bf16 is emulated, which is slower than fp32.
    """
    capabilities = torch.cpu.get_capabilities()
    return torch.backends.mkldnn.is_available() and any(capabilities.get(name) for name in CAPABILITIES)
