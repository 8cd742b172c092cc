"""One training step on a batch of 2 images of 600×600: ours compared with plain fp32 NCHW.

Usage: python benchmarks/training_step.py [--rounds N] [--channels C]

Ours is `model.training.run.train` itself, whose progress callback waits between steps while the other loop
runs. The plain loop has the same network, loss and optimiser without any tuning. Each runs in its own
process; the ratio is the median over rounds. Targets on a processor that computes bf16: 2.5×, under 2.5 GB.
"""

from __future__ import annotations

import argparse
import threading

import numpy as np
import torch
from support.measuring import Contestant, Work, compare, ratio
from support.plain import as_first_written

from model.imaging.preprocessing import PreprocessingSettings, preprocess, to_network
from model.loss import DeepSupervisionLoss
from model.network import DeeplySupervisedUNet, NetworkSettings
from model.research.phantom import draw_phantom
from model.training.dataset import Example
from model.training.optimisation import optimiser
from model.training.run import Progress, TrainingSettings, train

PLAIN = "plain fp32 NCHW"
BATCH = 2
LEARNING_RATE = 1e-3
SIDE = 600


def main() -> None:
    """Print the table of both loops."""
    arguments = parse()
    contestants: dict[str, Contestant] = {
        PLAIN: (plain, (arguments.channels,)),
        "ours": (ours, (arguments.channels,)),
    }
    results = compare(contestants, rounds=arguments.rounds)
    print(f"batch {BATCH}, {SIDE}×{SIDE}, width {arguments.channels}, {torch.get_num_threads()} threads")
    print(f"{'loop':<18}{'ms':>8}{'plain / loop':>15}{'peak MB':>9}")
    for name, result in results.items():
        against = ratio(results[PLAIN].seconds, result.seconds)
        print(f"{name:<18}{result.milliseconds:>8.0f}{against:>14.2f}×{result.peak_mb:>9.0f}")


def examples() -> list[Example]:
    """A batch of phantoms that fill the canvas."""
    made = []
    for seed in range(BATCH):
        phantom = draw_phantom(14, seed, size=(SIDE, SIDE))
        canvas, frame = preprocess(phantom.image, PreprocessingSettings(size=SIDE, crop=False))
        mask = frame.forward_mask((phantom.mask > 0).astype(np.uint8))
        made.append(Example(f"phantom {seed}", canvas, mask))
    return made


def plain(channels: int) -> Work:
    """A training loop without tuning."""
    torch.manual_seed(0)
    network = DeeplySupervisedUNet(NetworkSettings(classes=2, width=channels))
    as_first_written(network).train()
    criterion = DeepSupervisionLoss()
    steps = optimiser(network, LEARNING_RATE, 1e-4)
    images = torch.from_numpy(np.stack([to_network(example.image) for example in examples()]))
    targets = torch.from_numpy(np.stack([example.mask for example in examples()])).long()

    def work() -> None:
        steps.zero_grad()
        criterion(network(images), targets).backward()
        steps.step()

    return work


def ours(channels: int) -> Work:
    """`train`, paused after every step until the next is requested."""
    requested, done = threading.Semaphore(0), threading.Semaphore(0)

    def progress(_: Progress) -> None:
        done.release()
        requested.acquire()

    def run() -> None:
        requested.acquire()
        train(
            examples(),
            [],
            labels=("Bone",),
            network=NetworkSettings(classes=2, width=channels),
            settings=TrainingSettings(
                steps=1_000_000, seconds=None, batch=BATCH, learning_rate=LEARNING_RATE, device="cpu"
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
    parser.add_argument("--rounds", type=int, default=7, help="steps of each loop; the median is shown")
    parser.add_argument("--channels", type=int, default=32, help="of the network's first level")
    return parser.parse_args()


if __name__ == "__main__":
    main()
