"""Ways to run a network forward: one protocol, `model.engines.base.Engine`, and its engines."""

from __future__ import annotations

from pathlib import Path

from model.engines.base import Engine, EngineError, EngineName, Precision
from model.engines.torch_engine import TorchEngine
from model.network import DeeplySupervisedUNet

__all__ = ["Engine", "EngineError", "EngineName", "Precision", "create_engine"]


def create_engine(
    network: DeeplySupervisedUNet,
    directory: Path,  # noqa: ARG001
    *,
    engine: EngineName = "auto",  # noqa: ARG001
    device: str = "auto",  # noqa: ARG001
    precision: Precision = "auto",  # noqa: ARG001
    threads: int | None = None,  # noqa: ARG001
) -> Engine:
    """The engine for a version."""
    return TorchEngine(network)
