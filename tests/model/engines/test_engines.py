"""Every engine and precision against plain torch.

Tolerances: in the final mask a share of at most 1e-3 of the pixels differs in bf16 and 1e-5 in fp32, three
    times
as many with two labels, which have more outlines. Scores differ by at most 0.02, and features, which have
unit length, by at most 0.02 in bf16.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from model.engines import Engine, EngineError, EngineName, Output, Precision, Probe, create_engine
from model.engines.hardware import cpu_computes_bf16
from model.engines.interface import Draw
from model.engines.openvino_engine import GRAPH_FILE, has_graph, save_graph
from model.segmenter import Segmentation, Segmenter
from model.weights import load_version

Drawing = Callable[..., tuple[NDArray[np.uint8], NDArray[np.uint8]]]

DIFFERING_PIXELS = {"fp32": 1e-5, "bf16": 1e-3}
SCORE_DIFFERENCE = 0.02
FEATURE_DIFFERENCE = {"fp32": 1e-4, "bf16": 0.02}

needs_openvino = pytest.mark.skipif(
    importlib.util.find_spec("openvino") is None, reason="OpenVINO is not installed"
)
ENGINES = ["torch", pytest.param("openvino", marks=needs_openvino)]


class PlainTorch:
    """The trained network in plain torch, the reference for every engine."""

    name = "plain"
    device = "cpu"
    precision = "fp32"

    def __init__(self, directory: Path) -> None:
        self._network, _ = load_version(directory)

    def run(self, x: NDArray[np.float32], probe: Probe | None = None) -> Output:
        bottleneck: list[torch.Tensor] = []
        hook = self._network.encoder[-1].register_forward_hook(lambda *seen: bottleneck.append(seen[2][0]))
        with torch.inference_mode(), hook:
            heads = torch.softmax(torch.cat(self._network(torch.from_numpy(x)[None])), dim=1).numpy()
        features = bottleneck[0].amax((1, 2))
        return Output(heads, (features / features.norm()).numpy())

    def run_together(
        self,
        xs: Sequence[NDArray[np.float32]],
        probe: Probe | None = None,
        draws: Sequence[Draw] | None = None,
    ) -> list[Output]:
        return [self.run(x, probe) for x in xs]


@pytest.fixture
def images(draw: Drawing) -> list[NDArray[np.uint8]]:
    return [draw(1000, 300, 240)[0], draw(1001, 150, 400)[0]]


def scaled(canvas: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(h, w) grey values → (1, h, w) in [0, 1]."""
    return canvas[None].astype(np.float32) / np.float32(255)


def plainly(version: Path, images: list[NDArray[np.uint8]]) -> list[Segmentation]:
    segmenter = Segmenter(version, engine="torch", precision="fp32")
    segmenter.engine = PlainTorch(version)
    return segmenter.segment(images)


def assert_agreement(
    expected: list[Segmentation], results: list[Segmentation], precision: str, *, factor: int = 1
) -> None:
    for right, result in zip(expected, results, strict=True):
        assert right.final.any()
        assert np.mean(right.final != result.final) <= factor * DIFFERING_PIXELS[precision]
        assert abs(right.consistency.score - result.consistency.score) <= SCORE_DIFFERENCE
        assert np.linalg.norm(right.features - result.features) <= FEATURE_DIFFERENCE[precision]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("engine", ENGINES)
def test_engines_agree(
    version: Path, images: list[NDArray[np.uint8]], engine: EngineName, precision: Precision
) -> None:
    segmenter = Segmenter(version, engine=engine, precision=precision)
    assert (segmenter.engine.name, segmenter.engine.precision) == (engine, precision)
    assert_agreement(plainly(version, images), segmenter.segment(images), precision)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("engine", ENGINES)
def test_engines_agree_whatever_the_norm(
    any_norm: Path, images: list[NDArray[np.uint8]], engine: EngineName, precision: Precision
) -> None:
    results = Segmenter(any_norm, engine=engine, precision=precision).segment(images)
    assert_agreement(plainly(any_norm, images), results, precision, factor=3)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_rewrite_is_exact_in_fp32(any_norm: Path, engine: EngineName) -> None:
    reference = PlainTorch(any_norm)
    runner = create_engine(load_version(any_norm)[0], any_norm, engine=engine, precision="fp32")
    for size in ((160, 128), (16, 16), (161, 37), (1, 1)):
        x = np.random.default_rng(0).random((1, *size), dtype=np.float32)
        output, expected = runner.run(x), reference.run(x)
        result = output.probabilities
        assert result.shape == (3, 3, *size)
        assert result.dtype == np.float32
        assert np.abs(result - expected.probabilities).max() <= 1e-4
        assert output.features.dtype == np.float32
        assert np.linalg.norm(output.features) == pytest.approx(1, abs=1e-6)
        assert np.abs(output.features - expected.features).max() <= 1e-4
        assert result.sum(axis=1) == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("engine", ENGINES)
def test_concurrent_threads_get_the_results_of_sequential_calls(
    draw: Drawing, version: Path, engine: EngineName
) -> None:
    runner = create_engine(load_version(version)[0], version, engine=engine)
    canvases = [scaled(draw(seed, 160, width)[0]) for seed, width in enumerate([160, 96, 48] * 4)]
    alone = [runner.run(canvas) for canvas in canvases]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(runner.run, canvases))
    for first, second in zip(alone, together, strict=True):
        assert np.array_equal(first.probabilities, second.probabilities)
        assert np.array_equal(first.features, second.features)


@needs_openvino
def test_auto_takes_openvino_once_the_version_is_converted(version: Path, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(version, tmp_path / "v", ignore=shutil.ignore_patterns("openvino.*")))
    network, _ = load_version(directory)
    assert create_engine(network, directory, device="cpu").name == "torch"
    save_graph(network, directory)
    assert has_graph(directory)
    assert create_engine(network, directory, device="cpu").name == "openvino"
    assert sorted(path.name for path in directory.iterdir()) == [
        "card.json",
        "openvino.bin",
        "openvino.xml",
        "weights.safetensors",
    ]


@needs_openvino
def test_openvino_keeps_the_graph_it_had_to_make(version: Path, tmp_path: Path) -> None:
    directory = Path(shutil.copytree(version, tmp_path / "v", ignore=shutil.ignore_patterns("openvino.*")))
    network, _ = load_version(directory)
    create_engine(network, directory, engine="openvino")
    made = (directory / GRAPH_FILE).stat().st_mtime_ns
    create_engine(network, directory, engine="openvino")
    assert (directory / GRAPH_FILE).stat().st_mtime_ns == made


@needs_openvino
def test_an_old_graph_without_features_is_converted_again(version: Path, tmp_path: Path) -> None:
    ov = pytest.importorskip("openvino")
    directory = Path(shutil.copytree(version, tmp_path / "v", ignore=shutil.ignore_patterns("openvino.*")))
    network, _ = load_version(directory)
    save_graph(network, directory)
    core = ov.Core()
    old = core.read_model(directory / GRAPH_FILE)
    old.output(1).get_tensor().set_names({"features"})
    old.remove_result(old.get_results()[1])
    (directory / "old").mkdir()
    ov.save_model(old, directory / "old" / GRAPH_FILE, compress_to_fp16=False)
    del old
    for path in (directory / "old").iterdir():
        path.replace(directory / path.name)
    (directory / "old").rmdir()
    assert len(core.read_model(directory / GRAPH_FILE).outputs) == 1
    assert not has_graph(directory)
    assert create_engine(network, directory, device="cpu").name == "torch"
    x = np.random.default_rng(0).random((1, 64, 48), dtype=np.float32)
    features = create_engine(network, directory, engine="openvino", precision="fp32").run(x).features
    assert np.abs(features - PlainTorch(version).run(x).features).max() <= 1e-4
    assert has_graph(directory)


def test_missing_openvino_is_reported_in_one_sentence(
    version: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(EngineError, match="requirements-openvino"):
        create_engine(load_version(version)[0], tmp_path, engine="openvino")


def test_precision_follows_the_processor(version: Path) -> None:
    chosen = create_engine(load_version(version)[0], version, engine="torch", device="cpu").precision
    assert chosen == ("bf16" if cpu_computes_bf16() else "fp32")


@pytest.mark.parametrize(
    "options",
    [
        {"engine": "tensorrt"},
        {"precision": "int8"},
        {"device": "cuda:7"},
        {"device": "abacus"},
        {"device": "meta"},
        {"engine": "openvino", "device": "cuda"},
    ],
)
def test_unavailable_engines_and_devices_are_refused(version: Path, options: dict[str, str]) -> None:
    make: Callable[..., Engine] = create_engine
    with pytest.raises(EngineError) as error:
        make(load_version(version)[0], version, **options)
    assert "\n" not in str(error.value)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_cuda_agrees(any_norm: Path, images: list[NDArray[np.uint8]]) -> None:
    results = Segmenter(any_norm, device="cuda").segment(images)
    assert_agreement(plainly(any_norm, images), results, "bf16", factor=3)


CONVERT = """
import sys
from pathlib import Path
from model.engines.decoder_rewrite import RewrittenUNet
from model.engines.openvino_engine import save_graph
from model.weights import load_version, save_version
directory = Path(sys.argv[1])
save_graph(load_version(directory)[0], directory)
"""


@pytest.mark.slow
def test_a_conversion_sends_no_telemetry(version: Path, tmp_path: Path) -> None:
    pytest.importorskip("openvino")
    copy, home = tmp_path / "version", tmp_path / "home"
    shutil.copytree(version, copy)
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "CI"} | {"HOME": str(home)}
    subprocess.run([sys.executable, "-c", CONVERT, str(copy)], env=environment, check=True)
    assert has_graph(copy)
    assert not list(home.glob("intel/*")), "OpenVINO's telemetry created an identity"
