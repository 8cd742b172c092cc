"""Which numbers a processor computes with natively."""

from __future__ import annotations

import torch


def cpu_computes_bf16() -> bool:
    """Whether this processor multiplies bf16 itself (AVX512-BF16, AMX or Arm's BF16).

    Others emulate it, which is slower than fp32.
    """
    capabilities = torch.cpu.get_capabilities()
    return any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16", "arm_bf16"))
