"""Faults of the machine: device, engine, disk."""

from __future__ import annotations

import sys

import pytest
import torch

from ml_backend.doctor import State
from tests.doctor.conftest import Case


@pytest.mark.skipif(torch.cuda.is_available(), reason="This machine has a GPU.")
def test_a_gpu_that_is_not_there(case: Case) -> None:
    assert "DEVICE=auto" in case.diagnose(device="cuda").fault("device", "DEVICE=cuda").cure


@pytest.mark.skipif(not torch.cuda.is_available(), reason="This machine has no GPU.")
def test_a_second_gpu_that_is_not_there(case: Case) -> None:
    assert case.diagnose(device="cuda").state("device") is State.OK
    case.diagnose(device="cuda:97").fault("device", "DEVICE=cuda:97")


def test_a_device_that_is_none(case: Case) -> None:
    case.diagnose(device="gpu").fault("device", "DEVICE=gpu")


def test_an_engine_that_is_not_installed(case: Case, monkeypatch: pytest.MonkeyPatch) -> None:
    # An entry of None makes Python refuse the import, as if the package were not there.
    for name in [*(name for name in sys.modules if name.split(".")[0] == "openvino"), "openvino"]:
        monkeypatch.setitem(sys.modules, name, None)
    cure = case.diagnose(engine="openvino").fault("engine", "OpenVINO is not installed").cure
    assert "requirements-openvino.txt" in cure


def test_an_engine_that_does_not_run_on_the_device(case: Case) -> None:
    if case.diagnose(engine="openvino").state("engine") is not State.OK:
        pytest.skip("OpenVINO is not installed here.")
    case.diagnose(engine="openvino", device="cuda").fault("engine", "DEVICE=cuda")


def test_a_disk_that_is_nearly_full(case: Case) -> None:
    cure = case.diagnose(min_free_bytes=2**60).fault("disk", "GB are free").cure
    assert "CACHE_BYTES" in cure
