"""Training steps on images of 600×600: ours with and without augmentation, a bare loop, and plain fp32 NCHW.

Usage: python benchmarks/training_step.py [--device D] [--rounds N] [--batch B] [--steps K] [--channels C]

Ours is `model.training.run.train` itself, whose progress callback waits between turns while the other loops
run. The bare loop does as little as a loop can: the same network, loss, optimiser, number format and memory
format, but one batch that is already on the device, no clipping, no check, nothing read. The plain loop has
no tuning at all. Each runs in its own process, in turns of K steps; ratios are medians over rounds. Targets:
2.5 × plain and under 2.5 GB on a processor that computes bf16; 90 % of the bare loop on a GPU.
"""

from __future__ import annotations

import argparse
import threading
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from support.measuring import Contestant, Work, compare, ratio
from support.plain import as_first_written
from torch import nn

from model.engines.hardware import find_device
from model.imaging.preprocessing import PreprocessingSettings, preprocess, to_network
from model.loss import DeepSupervisionLoss
from model.network import DeeplySupervisedUNet, NetworkSettings
from model.research.phantom import draw_phantom
from model.training.dataset import Example
from model.training.device import TrainingDevice
from model.training.optimisation import optimiser
from model.training.run import Progress, TrainingSettings, train

PLAIN, BARE = "plain fp32 NCHW", "bare loop"
LEARNING_RATE = 1e-3
SIDE = 600


@dataclass(frozen=True)
class Loop:
    """What all loops have in common.

    Attributes:
        channels: of the network's first level.
        batch: images in a step.
        steps: of a turn.
        device: name of the device.
    """

    channels: int
    batch: int
    steps: int
    device: str


def main() -> None:
    """Print the table of the loops."""
    arguments = parse()
    on_gpu = find_device(arguments.device).type == "cuda"
    steps = arguments.steps or (50 if on_gpu else 1)
    loop = Loop(arguments.channels, arguments.batch or (16 if on_gpu else 2), steps, arguments.device)
    contestants: dict[str, Contestant] = {
        PLAIN: (plain, (loop,)),
        BARE: (bare, (loop,)),
        "ours, as they are": (ours, (loop, False)),
        "ours, augmented": (ours, (loop, True)),
    }
    results = compare(contestants, rounds=arguments.rounds)
    print(f"{device_name(arguments.device)}; batch {loop.batch}, {SIDE}×{SIDE}, width {loop.channels}")
    print(f"{'loop':<19}{'ms a step':>10}{'images/s':>10}{'plain / loop':>15}{'of bare':>9}{'peak MB':>9}")
    for name, result in results.items():
        against = ratio(results[PLAIN].seconds, result.seconds)
        share = ratio(results[BARE].seconds, result.seconds)
        milliseconds = result.milliseconds / steps
        print(
            f"{name:<19}{milliseconds:>10.1f}{loop.batch / milliseconds * 1e3:>10.2f}"
            f"{against:>14.2f}×{share:>8.0%}{result.peak_mb:>9.0f}"
        )


def device_name(name: str) -> str:
    """The device, and how it computes."""
    found = TrainingDevice.find(name, "auto")
    number_format = "bf16" if found.bf16 else "fp32"
    if found.device.type == "cuda":
        return f"{torch.cuda.get_device_name(found.device)}, {number_format}"
    return f"processor, {torch.get_num_threads()} threads, {number_format}"


def examples(count: int) -> list[Example]:
    """Phantoms that fill the canvas."""
    made = []
    for seed in range(count):
        phantom = draw_phantom(14, seed, size=(SIDE, SIDE))
        canvas, frame = preprocess(phantom.image, PreprocessingSettings(size=SIDE, crop=False))
        mask = frame.forward_mask((phantom.mask > 0).astype(np.uint8))
        made.append(Example(f"phantom {seed}", canvas, mask))
    return made


def plain(loop: Loop) -> Work:
    """A training loop without tuning."""
    device = find_device(loop.device)
    torch.manual_seed(0)
    network = as_first_written(DeeplySupervisedUNet(NetworkSettings(classes=2, width=loop.channels)))
    return _steps(loop, network.to(device), device, nullcontext(), torch.contiguous_format)


def bare(loop: Loop) -> Work:
    """A tuned loop that does nothing besides steps."""
    device = TrainingDevice.find(loop.device, "auto")
    torch.manual_seed(0)
    network = DeeplySupervisedUNet(NetworkSettings(classes=2, width=loop.channels)).to(device.device)
    nn.utils.convert_conv2d_weight_memory_format(network, torch.channels_last)
    return _steps(loop, network, device.device, device.autocast(), torch.channels_last)


def _steps(
    loop: Loop,
    network: DeeplySupervisedUNet,
    device: torch.device,
    autocast: AbstractContextManager[object],
    memory_format: torch.memory_format,
) -> Work:
    network.train()
    criterion = DeepSupervisionLoss()
    updates = optimiser(network, LEARNING_RATE, 1e-4)
    made = examples(loop.batch)
    images = torch.from_numpy(np.stack([to_network(example.image) for example in made]))
    images = images.to(device, memory_format=memory_format)
    targets = torch.from_numpy(np.stack([example.mask for example in made])).long().to(device)

    def work() -> None:
        for _ in range(loop.steps):
            updates.zero_grad(set_to_none=False)
            with autocast:
                loss = criterion(network(images), targets)
            loss.backward()
            updates.step()
        if device.type == "cuda":
            torch.cuda.synchronize(device)

    return work


def ours(loop: Loop, augment: bool) -> Work:
    """`train`, paused after every turn until the next is requested."""
    requested, done = threading.Semaphore(0), threading.Semaphore(0)

    def progress(now: Progress) -> None:
        if now.step % loop.steps == 0:
            done.release()
            requested.acquire()

    def run() -> None:
        requested.acquire()
        train(
            examples(loop.batch),
            [],
            labels=("Bone",),
            network=NetworkSettings(classes=2, width=loop.channels),
            # A step that is saved is reported after all before it, so no turn leaves work to the next one.
            settings=TrainingSettings(
                steps=1_000_000,
                batch=loop.batch,
                learning_rate=LEARNING_RATE,
                device=loop.device,
                augment=augment,
                validate_every=1_000_000,
                checkpoint_every=loop.steps,
            ),
            progress=progress,
        )

    threading.Thread(target=run, daemon=True).start()

    def work() -> None:
        requested.release()
        done.acquire()

    return work


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="auto", help="cpu, cuda, cuda:1, …; auto: CUDA if available")
    parser.add_argument("--rounds", type=int, default=7, help="turns of each loop; the median is shown")
    parser.add_argument("--batch", type=int, help="images in a step; by default 2, on a GPU 16")
    parser.add_argument("--steps", type=int, help="steps of a turn; by default 1, on a GPU 50")
    parser.add_argument("--channels", type=int, default=32, help="of the network's first level")
    return parser.parse_args()


if __name__ == "__main__":
    main()
