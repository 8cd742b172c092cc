"""The optional engine: OpenVINO on the processor.

It slows down less than torch when other programs share the cores, and needs less memory; on an idle machine
both are equally fast (see `benchmarks/README.md`).
"""

from __future__ import annotations

import importlib.util
import logging
import sys
import tempfile
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.engines.decoder_rewrite import RewrittenUNet
from model.engines.hardware import cpu_computes_bf16
from model.engines.interface import Draw, EngineError, Output, Precision, Probe, padded, unit_length
from model.engines.torch_engine import TorchEngine
from model.network import DeeplySupervisedUNet
from model.weights import load_version

GRAPH_FILE = "openvino.xml"
GRAPH_WEIGHTS_FILE = "openvino.bin"
FEATURES = "dsal_features_maximum"
"""Name of the graph's second output, which graphs of former releases lack."""
TELEMETRY = "openvino_telemetry"
HINTS = {"fp32": "f32", "bf16": "bf16"}

log = logging.getLogger(__name__)


def openvino_installed() -> bool:
    """Whether the optional dependency is installed, without loading it."""
    return importlib.util.find_spec("openvino") is not None


def has_graph(directory: Path) -> bool:
    """Whether a version has been converted for OpenVINO; graphs without features do not count."""
    graph, weights = directory / GRAPH_FILE, directory / GRAPH_WEIGHTS_FILE
    return graph.is_file() and weights.is_file() and f'names="{FEATURES}"'.encode() in graph.read_bytes()


def save_graph(network: DeeplySupervisedUNet, directory: Path) -> None:
    """Convert a version for OpenVINO, which takes seconds, and save the graph beside its weights.

    Raises:
        EngineError: if OpenVINO is not installed.
        OSError: if the folder cannot be written.
    """
    ov = import_openvino()
    with tempfile.TemporaryDirectory(prefix=".openvino-", dir=directory) as draft:
        # fp16 weights would change results more than the engine itself does.
        ov.save_model(_convert(network), Path(draft) / GRAPH_FILE, compress_to_fp16=False)
        # The graph comes last: if it exists, so do its weights.
        for name in (GRAPH_WEIGHTS_FILE, GRAPH_FILE):
            (Path(draft) / name).replace(directory / name)


class OpenVinoEngine:
    """Runs the rewritten network with OpenVINO, one graph for all image sizes.

    Args:
        network: the trained network; not changed.
        directory: the version's folder; its graph is used, or made and saved there. Its weights are loaded
            when a probe is first run.
        precision: "fp32", "bf16", or "auto": bf16 where the processor multiplies it natively.
        threads: processor threads; None lets OpenVINO take all cores.

    Raises:
        EngineError: if OpenVINO is not installed.
    """

    name = "openvino"
    device = "cpu"

    def __init__(
        self,
        network: DeeplySupervisedUNet,
        directory: Path,
        *,
        precision: Precision = "auto",
        threads: int | None = None,
    ) -> None:
        if precision == "auto":
            precision = "bf16" if cpu_computes_bf16() else "fp32"
        self.precision: str = precision
        self._stride = network.settings.stride
        options: dict[str, Any] = {
            # Without the hint OpenVINO silently chooses bf16.
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": 1,
            # Several processes on one machine would all pin themselves to the same cores.
            "ENABLE_CPU_PINNING": False,
        }
        if threads is not None:
            options["INFERENCE_NUM_THREADS"] = threads
        ov = import_openvino()
        # Height and width stay dynamic: as fast as a graph for one size, and without memory for each size.
        self._compiled = ov.Core().compile_model(_graph(network, directory), "CPU", options)
        self._request = self._compiled.create_infer_request()
        self._lock = threading.Lock()
        self._directory = directory
        self._torch: TorchEngine | None = None

    def run(self, x: NDArray[np.float32], probe: Probe | None = None) -> Output:
        """See `model.engines.interface.Engine.run`; with a probe torch computes everything."""
        if probe is not None:
            return self._torch_engine().run(x, probe)
        _, height, width = x.shape
        with self._lock:
            result = self._request.infer([padded(x, self._stride)[None]])
            probabilities: NDArray[np.float32] = result[0]
            features: NDArray[np.float32] = result[1]
        return Output(probabilities[:, :, :height, :width], unit_length(features))

    def run_together(
        self,
        xs: Sequence[NDArray[np.float32]],
        probe: Probe | None = None,
        draws: Sequence[Draw] | None = None,  # noqa: ARG002
    ) -> list[Output]:
        """One after another: a processor gains nothing from computing canvases together."""
        return [self.run(x, probe) for x in xs]

    def _torch_engine(self) -> TorchEngine:
        # A network kept from the start would cost its memory even if no probe is ever run.
        with self._lock:
            if self._torch is None:
                network, _ = load_version(self._directory)
                self._torch = TorchEngine(network, precision="bf16" if self.precision == "bf16" else "fp32")
            return self._torch


def import_openvino() -> Any:
    """The module `openvino`, without its telemetry.

    Raises:
        EngineError: it is not installed.
    """
    # Its telemetry is opt-out, and reports each conversion to an analytics service from a forked copy of this
    # process. If that package cannot be imported, OpenVINO works without it.
    sys.modules.setdefault(TELEMETRY, None)  # type: ignore[arg-type]
    try:
        import openvino
    except ImportError as error:
        raise EngineError(
            "OpenVINO is not installed; install requirements-openvino.txt or use torch."
        ) from error
    return openvino


def _graph(network: DeeplySupervisedUNet, directory: Path) -> Any:
    if not has_graph(directory):
        try:
            save_graph(network, directory)
        except OSError as error:
            log.warning("The OpenVINO graph of %s is not kept (%s).", directory.name, error)
            return _convert(network)
    return import_openvino().Core().read_model(directory / GRAPH_FILE)


def _convert(network: DeeplySupervisedUNet) -> Any:
    ov = import_openvino()
    side = 4 * network.settings.stride
    with torch.inference_mode(), warnings.catch_warnings():
        # OpenVINO traces with torch.jit, which torch calls deprecated; nothing for our users to act on.
        warnings.simplefilter("ignore", DeprecationWarning)
        graph = ov.convert_model(
            RewrittenUNet(network),
            example_input=torch.zeros(1, 1, side, side),
            input=[ov.PartialShape([1, 1, -1, -1])],
        )
    graph.output(1).get_tensor().set_names({FEATURES})
    return graph
