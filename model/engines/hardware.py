"""Devices by name, the number format that suits each, and keeping freed memory in the process."""

from __future__ import annotations

import ctypes
import sys

import torch

from model.engines.interface import EngineError, Precision

M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
LARGEST_INT = 2**31 - 1


def keep_freed_memory() -> bool:
    """Tell glibc to reuse large freed blocks instead of returning them to the kernel.

    By default glibc maps every block over 32 MB and unmaps it when freed, so each layer pays page faults for
    its output: a tenth of a forward, an eighth of a training step. With this setting the process keeps its
    peak memory. Calling it again changes nothing.

    Returns:
        Whether the setting was accepted; without glibc nothing happens and it is False.
    """
    if not sys.platform.startswith("linux"):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    # musl has no mallopt; those of other allocators may refuse.
    if mallopt is None:
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, LARGEST_INT))


CAPABILITIES = ("avx512_bf16", "amx_bf16", "bf16")
"""torch's names for AVX512-BF16 and AMX of x86-64, and BF16 of Arm."""


def cpu_computes_bf16() -> bool:
    """Whether this processor multiplies bf16 natively, and torch has the library (oneDNN) that uses it.

    Otherwise bf16 is emulated, which is slower than fp32.
    """
    capabilities = torch.cpu.get_capabilities()
    return torch.backends.mkldnn.is_available() and any(capabilities.get(name) for name in CAPABILITIES)


def find_device(name: str) -> torch.device:
    """Find a device by name.

    Args:
        name: "cpu", "cuda", "cuda:1", …, or "auto": CUDA if available, else the CPU.

    Raises:
        EngineError: the name is not a supported device, or the device is not available.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise EngineError(f'"{name}" is not a device; use "auto", "cpu" or "cuda".') from error
    if device.type not in ("cpu", "cuda"):
        raise EngineError(f'The device "{name}" is not supported; use "auto", "cpu" or "cuda".')
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise EngineError(f'The device "{name}" is not available; use "cpu", or install torch for CUDA.')
    return device


def find_precision(device: torch.device, wanted: Precision) -> str:
    """The number format of a network's computations: "fp32", "bf16" or "fp16".

    "auto" is bf16 where the device computes it natively; else fp16 on a CUDA device, and fp32 on a CPU.
    """
    if wanted != "auto":
        return wanted
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    return "bf16" if cpu_computes_bf16() else "fp32"
