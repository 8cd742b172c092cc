"""The network as ONNX or TorchScript: a canvas in, the probabilities of the three classifiers out."""

from __future__ import annotations

import importlib.util
import logging
import warnings
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from types import MappingProxyType
from typing import cast

import torch
from torch import Tensor, nn

from model.engines.decoder_rewrite import RewrittenUNet, enlarge_by
from model.network import DeeplySupervisedUNet

INPUT, OUTPUTS = "canvas", ("lower", "middle", "final")
MOST = 1024
"""Most multiples of the stride that a side of a canvas may have: 16 384 pixels."""


class NetworkExportError(RuntimeError):
    """The network cannot be exported; the message says in one sentence what to do."""


class ThreeHeads(nn.Module):
    """The rewritten network with one output for each classifier."""

    def __init__(self, network: DeeplySupervisedUNet) -> None:
        super().__init__()
        self.network = RewrittenUNet(network)
        self.eval()

    def forward(self, canvas: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Classify canvases.

        Args:
            canvas: (N, 1, H, W) in [0, 1], with H and W multiples of the network's stride.

        Returns:
            Probabilities (N, C, H, W) of the lower, middle and final classifier; they sum to 1 over C.
        """
        decoded = self.network.decode(self.network.encode(canvas))
        heads = (
            enlarge_by(self.network.lower(decoded[-3]), 4),
            enlarge_by(self.network.middle(decoded[-2]), 2),
            self.network.final(decoded[-1]),
        )
        lower, middle, final = (torch.softmax(head, 1) for head in heads)
        return lower, middle, final


def save_onnx(network: DeeplySupervisedUNet, path: Path) -> None:
    """Write the network as ONNX, for any number and size of canvases.

    Raises:
        NetworkExportError: onnxscript is not installed.
    """
    if importlib.util.find_spec("onnxscript") is None:
        raise NetworkExportError(
            "Exporting to ONNX needs onnx and onnxscript: pip install -r requirements-onnx.txt."
        )
    heads, stride = ThreeHeads(network), network.settings.stride
    side = torch.export.Dim
    sizes = {
        0: side("images"),
        2: stride * side("rows", min=1, max=MOST),
        3: stride * side("columns", min=1, max=MOST),
    }
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    with torch.inference_mode(), warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            heads,
            (torch.zeros(2, 1, 3 * stride, 4 * stride),),
            dynamo=True,
            input_names=[INPUT],
            output_names=list(OUTPUTS),
            dynamic_shapes={INPUT: sizes},
        )
    assert program is not None
    program.save(path)


def save_torchscript(network: DeeplySupervisedUNet, path: Path) -> None:
    """Write the network as TorchScript, for any number and size of canvases."""
    heads, stride = ThreeHeads(network), network.settings.stride
    with torch.inference_mode(), warnings.catch_warnings():
        # torch calls TorchScript deprecated, which whoever asks for it knows.
        warnings.simplefilter("ignore", DeprecationWarning)
        traced = torch.jit.trace(heads, torch.zeros(1, 1, 4 * stride, 4 * stride))
        cast(torch.jit.ScriptModule, traced).save(str(path))


FORMATS: Mapping[str, tuple[str, Callable[[DeeplySupervisedUNet, Path], None]]] = MappingProxyType(
    {"onnx": ("network.onnx", save_onnx), "torchscript": ("network.pt", save_torchscript)}
)
"""Format → name of the file, and what writes it."""
