"""Ways to run a network forward: one protocol, `model.engines.interface.Engine`, and its engines."""

from __future__ import annotations

from pathlib import Path

import torch

from model.engines.interface import Engine, EngineError, EngineName, Output, Precision, Probe
from model.engines.openvino_engine import (
    OpenVinoEngine,
    has_graph,
    import_openvino,
    openvino_installed,
    save_graph,
)
from model.engines.torch_engine import TorchEngine
from model.network import DeeplySupervisedUNet

__all__ = [
    "Engine",
    "EngineError",
    "EngineName",
    "Output",
    "Precision",
    "Probe",
    "create_engine",
    "preload",
    "prepare_version",
]


def preload() -> None:
    """Import the engines' libraries, for processes that fork before they run a network; computes nothing."""
    if openvino_installed():
        import_openvino()


def create_engine(
    network: DeeplySupervisedUNet,
    directory: Path,
    *,
    engine: EngineName = "auto",
    device: str = "auto",
    precision: Precision = "auto",
    threads: int | None = None,
) -> Engine:
    """The engine that runs a version.

    "auto" is OpenVINO if it is installed, the version has been converted for it, and the device is the
    processor; else torch. Both are equally fast on an idle machine, but OpenVINO slows down less when a
    training shares the cores, and needs half the memory. "auto" does not convert a version, because that
    takes seconds while somebody waits.

    Args:
        network: the version's network, on the CPU.
        directory: the version's folder.
        engine: "torch", "openvino" or "auto".
        device: "cpu", "cuda", "cuda:1", …; "auto" is CUDA if available.
        precision: "fp32", "bf16", or "auto" for the fastest that the device computes natively.
        threads: processor threads; None for the library's own choice.

    Raises:
        EngineError: if the engine or the device is not available.
    """
    if engine not in ("auto", "torch", "openvino"):
        raise EngineError(f'"{engine}" is not an engine; use "auto", "torch" or "openvino".')
    if precision not in ("auto", "fp32", "bf16"):
        raise EngineError(f'"{precision}" is not a precision; use "auto", "fp32" or "bf16".')
    if device == "auto":
        device = "cuda" if engine != "openvino" and torch.cuda.is_available() else "cpu"
    if engine == "openvino" and device != "cpu":
        raise EngineError(f"OpenVINO runs on the processor here, not on {device!r}; use torch or cpu.")
    if engine == "auto":
        graph_ready = device == "cpu" and openvino_installed() and has_graph(directory)
        engine = "openvino" if graph_ready else "torch"
    if engine == "openvino":
        return OpenVinoEngine(network, directory, precision=precision, threads=threads)
    return TorchEngine(network, device=device, precision=precision, threads=threads)


def prepare_version(
    network: DeeplySupervisedUNet, directory: Path, *, engine: EngineName = "auto", device: str = "auto"
) -> None:
    """Save beside a version's weights what its engine will need, so that nobody waits for it later.

    For OpenVINO on the processor that is its graph, which takes some seconds; for torch nothing.

    Raises:
        EngineError: if OpenVINO is requested and not installed.
    """
    on_processor = device == "cpu" or (device == "auto" and not torch.cuda.is_available())
    if engine == "openvino" or (engine == "auto" and on_processor and openvino_installed()):
        save_graph(network, directory)
