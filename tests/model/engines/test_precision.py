from __future__ import annotations

from pathlib import Path

import pytest
import torch

from model.engines.hardware import cpu_computes_bf16

FLAGS = Path("/proc/cpuinfo")


@pytest.mark.skipif(not FLAGS.exists(), reason="the kernel does not list the processor's capabilities")
def test_it_agrees_with_what_the_kernel_says() -> None:
    words = set(FLAGS.read_text().split())
    assert cpu_computes_bf16() == bool(words & {"avx512_bf16", "amx_bf16", "bf16"})


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True}, True),
        ({"bf16": True}, True),
        ({"avx2": True, "amx_bf16": False}, False),
        ({}, False),
    ],
)
def test_emulated_bf16_does_not_count(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: bool
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert cpu_computes_bf16() is expected
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert cpu_computes_bf16() is False
