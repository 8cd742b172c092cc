"""One 2000×1500 radiograph from PNG bytes to the JSON for Label Studio, compared with the forward pass alone.

Usage: python benchmarks/end_to_end.py [--rounds N] [--channels C]

Each engine runs in its own process. A round decodes, preprocesses, runs the network, computes the three masks
and the score, encodes the mask and writes JSON, and times each stage. Then it does the same with a stream of
images, whose stages overlap, and runs the forward pass alone on the same canvas as many times; and plain
eager torch in another process. Ratios are medians over rounds. Targets: end to end at most 1.15 × its own
forward pass, in a stream at most 1.10 ×, and at most 900 MB per process.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from statistics import median

import torch
from support.measuring import Contestant, Work, compare, ratio
from support.plain import as_first_written
from support.subject import LABELS, radiograph, taught_version

from ml_backend.label_studio.config import LabelConfig, default_config
from ml_backend.label_studio.config import parse as parse_config
from ml_backend.label_studio.regions import masks
from model.engines import EngineName
from model.engines.openvino_engine import openvino_installed, save_graph
from model.imaging.decoding import decode_image
from model.imaging.preprocessing import preprocess, to_network
from model.segmenter import Segmenter
from model.weights import load_version

PLAIN = "plain eager forward pass"
STREAMED = 6
"""Images of a stream."""
STAGES = ("decode", "preprocess", "forward", "masks and score", "RLE", "JSON")


def main() -> None:
    """Print the table of engines, then the times of their stages."""
    arguments = parse()
    data = radiograph()
    with tempfile.TemporaryDirectory() as folder:
        directory = taught_version(Path(folder) / "version", width=arguments.channels, size=600)
        contestants: dict[str, Contestant] = {
            PLAIN: (plain, (directory, data)),
            "torch": (ours, (directory, data, "torch")),
        }
        if openvino_installed():
            save_graph(load_version(directory)[0], directory)
            contestants["openvino"] = (ours, (directory, data, "openvino"))
        results = compare(contestants, rounds=arguments.rounds)
    reference = results.pop(PLAIN)
    print(f"PNG of {len(data) / 1e6:.1f} MB; {PLAIN} {reference.milliseconds:.0f} ms")
    heads = ("whole ms", "stream ms", "forward ms", "whole / forward", "stream / forward", "plain / whole")
    print(f"{'engine':<10}" + "".join(f"{head:>17}" for head in (*heads, "peak MB")))
    for name, result in results.items():
        whole, stream, forward = (result.stage(part) for part in ("whole", "stream", "forward alone"))
        print(
            f"{name:<10}"
            + "".join(f"{median(seconds) * 1e3:>17.0f}" for seconds in (whole, stream, forward))
            + "".join(f"{ratio(seconds, forward):>16.2f}×" for seconds in (whole, stream))
            + f"{ratio(reference.seconds, whole):>16.2f}×{result.peak_mb:>17.0f}"
        )
    print(f"\n{'stage, ms':<18}" + "".join(f"{name:>10}" for name in results))
    for stage in STAGES:
        row = (median(result.stage(stage)) * 1e3 for result in results.values())
        print(f"{stage:<18}" + "".join(f"{value:>10.1f}" for value in row))


def ours(directory: Path, data: bytes, engine: EngineName) -> Work:
    """All stages, each timed, of one image; a stream of images; and the forward pass alone."""
    segmenter = Segmenter(directory, engine=engine, device="cpu")
    config = parse_config(default_config(LABELS))
    canvas = to_network(preprocess(decode_image(data), segmenter.card.preprocessing)[0])

    def work() -> dict[str, float]:
        marks = [time.perf_counter()]
        image = decode_image(data)
        marks.append(time.perf_counter())
        prepared, frame = preprocess(image, segmenter.card.preprocessing)
        marks.append(time.perf_counter())
        output = segmenter.engine.run(to_network(prepared))
        marks.append(time.perf_counter())
        segmentation = segmenter.interpret(output, frame)
        marks.append(time.perf_counter())
        result = masks.results(segmentation.final, config)
        marks.append(time.perf_counter())
        json.dumps({"result": result, "score": segmentation.consistency.score})
        marks.append(time.perf_counter())
        stages = {name: after - before for name, before, after in zip(STAGES, marks, marks[1:], strict=False)}
        stages["whole"] = marks[-1] - marks[0]
        start = time.perf_counter()
        for _ in range(STREAMED):
            segmenter.engine.run(canvas)
        middle = time.perf_counter()
        streamed(segmenter, data, config)
        stages["forward alone"] = (middle - start) / STREAMED
        stages["stream"] = (time.perf_counter() - middle) / STREAMED
        return stages

    return work


def streamed(segmenter: Segmenter, data: bytes, config: LabelConfig) -> None:
    """From PNG bytes to JSON for several images: each is read while the network works on the one before."""
    images = (decode_image(data) for _ in range(STREAMED))
    for found in segmenter.stream(images):
        json.dumps({"result": masks.results(found.final, config), "score": found.consistency.score})


def plain(directory: Path, data: bytes) -> Work:
    """The forward pass alone, with plain torch."""
    network, card = load_version(directory)
    as_first_written(network)
    image = torch.from_numpy(to_network(preprocess(decode_image(data), card.preprocessing)[0]))[None]

    def work() -> None:
        with torch.no_grad():
            for logits in network(image):
                torch.softmax(logits, dim=1).numpy()

    return work


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=9, help="runs of each engine; the median is shown")
    parser.add_argument("--channels", type=int, default=32, help="of the network's first level")
    return parser.parse_args()


if __name__ == "__main__":
    main()
