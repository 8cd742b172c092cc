"""One forward pass: our engines compared with plain eager torch (fp32, NCHW, not tuned).

Usage: python benchmarks/forward.py [--rounds N] [--height H] [--width W] [--channels C]

Each engine runs in its own process, once a round; the ratio is the median over rounds. Targets on a
processor that computes bf16: torch 3.0×, OpenVINO 3.3×.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
import torch
from support.measuring import Contestant, Work, compare, ratio
from support.plain import as_first_written

from model.engines import EngineName, Precision, create_engine
from model.engines.openvino_engine import openvino_installed, save_graph
from model.imaging.preprocessing import PreprocessingSettings
from model.network import DeeplySupervisedUNet, NetworkSettings
from model.weights import Card, load_version, save_version

PLAIN = "plain eager fp32 NCHW"


def main() -> None:
    """Print the table of engines."""
    arguments = parse()
    settings = NetworkSettings(classes=2, width=arguments.channels)
    size = (arguments.height, arguments.width)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "version"
        torch.manual_seed(0)
        card = Card("benchmark", ("Bone",), settings, PreprocessingSettings())
        save_version(directory, DeeplySupervisedUNet(settings), card)
        contestants: dict[str, Contestant] = {PLAIN: (plain, (directory, size))}
        engines: list[EngineName] = ["torch"]
        if openvino_installed():
            save_graph(load_version(directory)[0], directory)
            engines.append("openvino")
        for engine in engines:
            for precision in ("fp32", "bf16"):
                contestants[f"{engine} {precision}"] = (tuned, (directory, size, engine, precision))
        results = compare(contestants, rounds=arguments.rounds)
    print(f"{size[0]}×{size[1]}, width {settings.width}, {torch.get_num_threads()} threads")
    print(f"{'engine':<24}{'ms':>8}{'plain / engine':>15}{'peak MB':>9}")
    for name, result in results.items():
        against = ratio(results[PLAIN].seconds, result.seconds)
        print(f"{name:<24}{result.milliseconds:>8.0f}{against:>14.2f}×{result.peak_mb:>9.0f}")


def plain(directory: Path, size: tuple[int, int]) -> Work:
    """Plain eager torch."""
    network = as_first_written(load_version(directory)[0])
    image = torch.from_numpy(picture(size))[None]

    def work() -> None:
        with torch.no_grad():
            for logits in network(image):
                torch.softmax(logits, dim=1).numpy()

    return work


def tuned(directory: Path, size: tuple[int, int], name: EngineName, precision: Precision) -> Work:
    """One of our engines."""
    network, _ = load_version(directory)
    engine = create_engine(network, directory, engine=name, precision=precision, device="cpu")
    del network
    image = picture(size)

    def work() -> None:
        engine.run(image)

    return work


def picture(size: tuple[int, int]) -> np.ndarray:
    """Noise of shape (1, H, W), float32: the time does not depend on the content."""
    return np.random.default_rng(0).random((1, *size), dtype=np.float32)


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9, help="runs of each engine; the median is shown")
    parser.add_argument("--height", type=int, default=608, help="of the canvas")
    parser.add_argument("--width", type=int, default=608, help="of the canvas")
    parser.add_argument("--channels", type=int, default=32, help="of the network's first level")
    return parser.parse_args()


if __name__ == "__main__":
    main()
