"""Images a second from decoded grey pixels to three masks with their score, beside bare forward passes.

Usage: python benchmarks/stream.py [--rounds N] [--images N] [--sizes N] [--channels C]
                                   [--device cpu|cuda] [--engine E] [--together N …]

Each round runs all contestants in turn, in one process: the network alone on canvases that are ready, one
after another and several together; images one by one (`Segmenter.segment`); and a stream of them. Medians
over rounds. Targets: on a processor at most 1.10 × the time of the bare forwards; on an H100 at least 600
images a second at width 32, for one size of canvas.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from numpy.typing import NDArray

from model.imaging.preprocessing import PreprocessingSettings, preprocess, to_network
from model.network import DeeplySupervisedUNet, NetworkSettings
from model.research.phantom import draw_phantom
from model.segmenter import Segmenter
from model.weights import Card, save_version

HEIGHT, WIDTH = 2000, 1500


def main() -> None:
    """Print the table of contestants."""
    arguments = parse()
    images = pool(arguments.images, arguments.sizes)
    with tempfile.TemporaryDirectory() as folder:
        directory = Path(folder) / "version"
        settings = NetworkSettings(classes=2, width=arguments.channels)
        torch.manual_seed(0)
        card = Card("benchmark", ("Bone",), settings, PreprocessingSettings(crop=False))
        save_version(directory, DeeplySupervisedUNet(settings), card)
        segmenters = {
            together: Segmenter(
                directory, device=arguments.device, engine=arguments.engine, together=together
            )
            for together in arguments.together
        }
        first = next(iter(segmenters.values()))
        contestants = works(segmenters, images)
        seconds: dict[str, list[float]] = {name: [] for name in contestants}
        for number in range(arguments.rounds + 1):
            for name, work in contestants.items():
                start = time.perf_counter()
                work()
                if number:
                    seconds[name].append((time.perf_counter() - start) / len(images))
    device = torch.cuda.get_device_name() if first.engine.device == "cuda" else "processor"
    print(f"{device}, {len(os.sched_getaffinity(0))} cores, {first.engine.name} {first.engine.precision}")
    print(f"width {settings.width}, {len(images)} images in {arguments.sizes} size(s)")
    bare = min(median(times) for name, times in seconds.items() if name.startswith("network"))
    print(f"{'':<34}{'ms an image':>12}{'images/s':>10}{'of the network':>16}")
    for name, times in seconds.items():
        middle = median(times)
        print(f"{name:<34}{middle * 1e3:>12.2f}{1 / middle:>10.1f}{bare / middle:>15.0%}")


def works(segmenters: dict[int, Segmenter], images: list[NDArray[np.uint8]]) -> dict[str, Callable[[], None]]:
    """What is compared, each under its name."""
    contestants: dict[str, Callable[[], None]] = {}
    for together, segmenter in segmenters.items():
        canvases = [to_network(preprocess(image, segmenter.card.preprocessing)[0]) for image in images]
        contestants[f"network, {together} together"] = partial(forwards, segmenter, canvases, together)
    one = next(iter(segmenters.values()))
    contestants["images one by one"] = partial(one_by_one, one, images)
    for together, segmenter in segmenters.items():
        contestants[f"stream, {together} together"] = partial(streamed, segmenter, images)
    return contestants


def forwards(segmenter: Segmenter, canvases: list[NDArray[np.float32]], together: int) -> None:
    """The engine alone, with its copies to and from the device, on canvases sorted by size."""
    ordered = sorted(canvases, key=lambda canvas: canvas.shape)
    start = 0
    while start < len(ordered):
        group = [one for one in ordered[start : start + together] if one.shape == ordered[start].shape]
        segmenter.engine.run_together(group)
        start += len(group)


def one_by_one(segmenter: Segmenter, images: list[NDArray[np.uint8]]) -> None:
    """Each image begins when the one before has its result."""
    for image in images:
        segmenter.segment([image])


def streamed(segmenter: Segmenter, images: list[NDArray[np.uint8]]) -> None:
    """All images as one stream."""
    for _ in segmenter.stream(images):
        pass


def pool(number: int, sizes: int) -> list[NDArray[np.uint8]]:
    """Phantoms of 2000×1500 pixels; with several sizes some are narrower, by 100 pixels each."""
    drawn = [draw_phantom(14, seed, size=(WIDTH, HEIGHT)).image for seed in range(min(number, 4))]
    return [
        np.ascontiguousarray(drawn[index % len(drawn)][:, : WIDTH - 100 * (index % sizes)])
        for index in range(number)
    ]


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda or auto")
    parser.add_argument("--engine", default="auto", help="torch, openvino or auto")
    parser.add_argument(
        "--together", type=int, nargs="+", help="canvases computed together; several: compared"
    )
    parser.add_argument("--images", type=int, help="of a round; default 12 on a processor, 400 with CUDA")
    parser.add_argument("--rounds", type=int, default=5, help="after a first one that is not counted")
    parser.add_argument("--channels", type=int, default=32, help="of the network's first level")
    parser.add_argument("--sizes", type=int, default=1, help="how many sizes the images have, at most 10")
    arguments = parser.parse_args()
    cuda = arguments.device.startswith("cuda") or (
        arguments.device == "auto" and torch.cuda.is_available() and arguments.engine != "openvino"
    )
    arguments.together = arguments.together or ([1, 8, 32] if cuda else [1])
    arguments.images = arguments.images or (400 if cuda else 12)
    return arguments


if __name__ == "__main__":
    main()
