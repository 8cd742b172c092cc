"""Devices by name, and the number format that suits each."""

from __future__ import annotations

import torch

from model.engines.interface import EngineError, Precision

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
