"""How many clicks an object takes, after a training on a few images of a set.

Each set is trained twice from the shipped weights, with and without episodes of prompts, on the same images.
The test images are others. Printed are the Dice of masks without prompts, the number of clicks per object
(NoC), from blank and from the prediction, beside the rule for versions without layers for prompts, and what a
brush would have to draw instead (added path length in pixels). Without --data, the set is phantoms.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.classes import Classes
from model.imaging.preprocessing import PreprocessingSettings
from model.interaction.prompts import Prompts
from model.interaction.simulation import objects
from model.loss import LossWeights, default_dice
from model.metrics import dice_per_label
from model.network import DeeplySupervisedUNet, NetworkSettings, with_prompts
from model.pretrained import pretrained_start, pretrained_version
from model.research.clicking import Session, Summary, correct, predicted
from model.research.learners.sets import SetPlan, plan, sides
from model.research.phantom import write_phantoms
from model.segmenter import Segmenter
from model.training.dataset import Example, make_example, read_mask, read_sample
from model.training.first_click import first_click
from model.training.run import train
from model.training.settings import TrainingSettings
from model.weights import Card, read_card, save_version

MOST_OBJECTS = 4
"""Objects of a test image that are clicked on, drawn by seed."""


@dataclass(frozen=True, eq=False)
class Tested:
    """A test image with its label map, both (H, W)."""

    image: NDArray[np.uint8 | np.uint16]
    labels: NDArray[np.uint8]


def main() -> None:
    """Parse the options, and print a line for each set, arm and start."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of sets, each with images/ and masks/")
    parser.add_argument("--sets", default="hand-bones,oai-longleg,dsb2018-nuclei,chest,dental,breast-us")
    parser.add_argument("--train", type=int, default=12, help="training images of each set")
    parser.add_argument("--test", type=int, default=8, help="test images of each set")
    parser.add_argument("--steps", type=int, default=80)
    parser.add_argument("--size", type=int, default=384)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--arms", default="0,2", help="episodes of each arm; 0 is the rule of components")
    parser.add_argument("--enough", type=float, default=0.95, help="Dice at which a session ends")
    options = parser.parse_args()
    print(
        f"{options.train} training images, {options.steps} steps, {options.test} test images, "
        f"seeds {options.seeds}, size {options.size}\n"
    )
    print(
        "set           episodes  masks  start       objects  DSC 0  NoC@90 (failed)  NoC@95 (failed)  "
        "DSC 1  DSC 2  DSC 3"
    )
    with tempfile.TemporaryDirectory() as folder:
        if options.data is None:
            options.data, options.sets = Path(folder), "phantoms"
            write_phantoms(Path(folder) / "phantoms", groups=10, per_group=2, multilabel=True, max_side=900)
        for name in options.sets.split(","):
            for seed in range(options.seeds):
                compare(name, seed, options)


def compare(name: str, seed: int, options: argparse.Namespace) -> None:
    """Train and measure the arms on one set."""
    training, tested, labels = read_set(options.data, name, seed, options)
    for episodes in map(int, options.arms.split(",")):
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            segmenter = trained(Path(folder) / name, training, labels, episodes, seed, options)
            found = [segmenter.segment([one.image])[0].final for one in tested]
            scores = [
                dice_per_label(mask, one.labels, len(labels)) for mask, one in zip(found, tested, strict=True)
            ]
            dsc = float(np.mean([value for score in scores for value in score.values()]))
            for start, from_blank in (("blank", True), ("prediction", False)):
                sessions, brush = measure(segmenter, tested, found, from_blank, seed, options.enough)
                summary = Summary.of(sessions)
                print(
                    f"{name:13} {episodes or 'none (rule)':>8}  {dsc:.3f}  {start:10} {row(summary)}   "
                    f"brush {brush:.0f} px   {time.monotonic() - began:.0f} s",
                    flush=True,
                )


def row(summary: Summary) -> str:
    """The figures of one line."""
    after = "  ".join(f"{value:.3f}" for value in summary.after)
    return (
        f"{summary.sessions:7}  {summary.start:.3f}  {summary.clicks_90:6.2f} ({summary.failed_90:4.0%})  "
        f"  {summary.clicks_95:6.2f} ({summary.failed_95:4.0%})   {after}"
    )


def read_set(
    data: Path, name: str, seed: int, options: argparse.Namespace
) -> tuple[list[Example], list[Tested], tuple[str, ...]]:
    """Training examples, test images and labels of a set; hands are labelled bone by bone."""
    wanted: SetPlan = plan(data, name)
    samples = wanted.samples()
    first, others = sides(wanted, "final", seed)
    preprocessing = preprocessing_of(options.size)
    examples, tested, largest = [], [], 0
    for index in [*first[: options.train], *others[: options.test]]:
        image, mask = read_sample(samples[index])
        finer = data / name / "labels" / samples[index].mask_path.name
        mask = read_mask(finer) if finer.is_file() else mask
        largest = max(largest, int(mask.max()))
        if index in first:
            examples.append(make_example(samples[index].stem, image, mask, preprocessing))
        else:
            tested.append(Tested(image, mask))
    return examples, tested, tuple(f"label {number}" for number in range(1, largest + 1))


def preprocessing_of(size: int) -> PreprocessingSettings:
    """That of the shipped weights, for another size."""
    return replace(read_card(pretrained_version()).preprocessing, size=size)


def trained(
    folder: Path,
    training: Sequence[Example],
    labels: tuple[str, ...],
    episodes: int,
    seed: int,
    options: argparse.Namespace,
) -> Segmenter:
    """Train from the shipped weights; without episodes the version has no layers for prompts."""
    start, _ = pretrained_start(Classes.of(labels))
    network = with_prompts(start) if episodes else without_prompts(start)
    settings = TrainingSettings(
        steps=options.steps,
        batch=2,
        seed=seed,
        episodes=episodes,
        validate_every=options.steps,
        checkpoint_every=options.steps,
        loss=LossWeights(dice=default_dice(len(labels))),
    )
    result = train(training, [], labels=labels, network=network.settings, settings=settings, start=network)
    figures = first_click(result.network, training)
    card = Card(folder.name, labels, result.network.settings, preprocessing_of(options.size), metrics=figures)
    save_version(folder, result.network, card)
    return Segmenter(folder, engine="torch")


def without_prompts(network: DeeplySupervisedUNet) -> DeeplySupervisedUNet:
    """The same weights in a network without layers for prompts."""
    settings: NetworkSettings = replace(network.settings, prompts=False)
    plain = DeeplySupervisedUNet(settings)
    known = plain.state_dict().keys()
    plain.load_state_dict({name: values for name, values in network.state_dict().items() if name in known})
    return plain.eval()


def measure(
    segmenter: Segmenter,
    tested: Sequence[Tested],
    found: Sequence[NDArray[np.uint8]],
    from_blank: bool,
    seed: int,
    enough: float,
) -> tuple[list[Session], float]:
    """A session for each object, and the mean length of outline that a brush would have to draw."""
    draws = np.random.default_rng(seed)
    sessions, lengths = [], []
    for one, mask in zip(tested, found, strict=True):
        opened = segmenter.open(one.image)
        every = list(objects(one.labels))
        for index in draws.permutation(len(every))[:MOST_OBJECTS]:
            label, truth = every[index]
            present = np.zeros_like(truth) if from_blank else predicted(mask, label, truth)
            name = segmenter.labels[label - 1]

            def answer(before: NDArray[np.bool_], marks: Prompts, name: str = name) -> NDArray[np.bool_]:
                return segmenter.refine(opened, before, marks, label=name).mask  # noqa: B023

            lengths.append(missing_outline(truth, present))
            sessions.append(correct(truth, present, answer, enough))
    return sessions, float(np.mean(lengths))


def missing_outline(truth: NDArray[np.bool_], present: NDArray[np.bool_]) -> int:
    """Pixels on the outline of the truth that are not on that of the mask (added path length)."""
    return int((outline(truth) & ~outline(present)).sum())


def outline(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels of a mask with a neighbour, by an edge, outside it."""
    inner = np.pad(mask, 1)
    inside = inner[1:-1, :-2] & inner[1:-1, 2:] & inner[:-2, 1:-1] & inner[2:, 1:-1]
    return mask & ~inside


if __name__ == "__main__":
    main()
