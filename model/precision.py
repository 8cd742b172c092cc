"""Which numbers a processor computes with natively."""

from __future__ import annotations

import torch

CAPABILITIES = ("avx512_bf16", "amx_bf16", "bf16")
"""As torch names them: AVX512-BF16 and AMX of x86-64, BF16 of Arm."""


def cpu_computes_bf16() -> bool:
    """Whether this processor multiplies bf16 itself, and torch has the library (oneDNN) that lets it.

    Otherwise bf16 is emulated, which is slower than fp32.
    """
    capabilities = torch.cpu.get_capabilities()
    return torch.backends.mkldnn.is_available() and any(capabilities.get(name) for name in CAPABILITIES)
