"""How well faulty labels are found: average precision (AUPRC) by kind of fault.

A tenth of a set's labels is spoiled. Networks are trained from the shipped weights on the labels of other
folds, spoiled ones included (`model.training.cross_fitting`), and each label is examined by the network that
did not learn it. As that network does not depend on the label itself, every label is examined as it is and
with each kind of fault; then a tenth of the labels is drawn to be faulty, 200 times. Printed are the mean of
the draws, and the interval that 95 % of the draws are in, of

    ours        `model.suspicion.judge`
    softmin     of the given class's probability over the pixels, at temperature 0.1, as in cleanlab

and what `dsal suspicious` would list: the share of faulty labels that are listed, and of listed ones that are
faulty. "all" draws kinds at random. A chance order has 0.10. "swapped" needs two labels in an image.

The rule was chosen on the parts of `CHOSEN_ON` alone. With --kept, the networks' probabilities are kept in a
folder, so that another rule is measured on the same networks in seconds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from model.classes import Classes
from model.loss import LossWeights, default_dice
from model.metrics import mean_dice
from model.pretrained import pretrained_start, pretrained_version
from model.research.faults import FAULTS
from model.research.learners.sets import plan
from model.segmenter import Segmenter
from model.suspicion import Evidence, examine, judge
from model.training.cross_fitting import cross_fit
from model.training.dataset import make_example, read_mask, read_sample
from model.training.settings import TrainingSettings
from model.weights import Card, read_card, save_version


@dataclass(frozen=True)
class Part:
    """The images of a set that are examined together, and how the networks are trained.

    Attributes:
        folder: name of the set.
        first, images: which of its images, in the order of `SetPlan.samples`.
        size: longer side of the canvas in pixels.
        steps: of each training.
    """

    folder: str
    first: int
    images: int
    size: int
    steps: int


CHOSEN_ON = {
    "legs": Part("oai-longleg", 0, 60, 256, 150),
    "nuclei": Part("dsb2018-nuclei", 0, 60, 128, 120),
    "nuclei-256": Part("dsb2018-nuclei", 0, 60, 256, 120),
    "ultrasound": Part("breast-us", 0, 60, 128, 150),
}
"""Parts that the rule was chosen on."""
CHECKED_ON = {
    "legs-2": Part("oai-longleg", 60, 60, 256, 150),
    "nuclei-2": Part("dsb2018-nuclei", 60, 60, 128, 120),
    "nuclei-256-2": Part("dsb2018-nuclei", 60, 60, 256, 120),
    "ultrasound-2": Part("breast-us", 60, 60, 128, 150),
    "chest": Part("chest", 0, 50, 128, 400),
    "dental": Part("dental", 0, 60, 160, 350),
    "hands": Part("hand-bones", 0, 9, 256, 150),
}
"""Parts of which the rule has seen nothing: other images of the same sets, and other sets."""
PARTS = {**CHOSEN_ON, **CHECKED_ON}
SPOILED = 0.1
DRAWS = 200
TEMPERATURE = 0.1


@dataclass(frozen=True)
class Examined:
    """A label with a kind of fault, or without."""

    evidence: Evidence
    softmin: float


Order = Callable[[Sequence[Examined]], NDArray[np.float64]]
"""A score for each of several labels, high where suspicious."""


def ours(found: Sequence[Examined]) -> NDArray[np.float64]:
    """That of the product."""
    return np.array([one.score for one in judge([each.evidence for each in found])])


def softmin(found: Sequence[Examined]) -> NDArray[np.float64]:
    """That of the given class's probability."""
    return np.array([1 - one.softmin for one in found])


ORDERS: dict[str, Order] = {"ours": ours, "softmin": softmin}


def examined(probabilities: NDArray[np.float32], labels: NDArray[np.uint8], size: int) -> Examined:
    """Examine one label map."""
    given = np.take_along_axis(probabilities, labels[np.newaxis].astype(np.int64), axis=0)[0].astype(float)
    weights = np.exp((1 - given) / TEMPERATURE)
    return Examined(examine(probabilities, labels, size=size), float((given * weights).sum() / weights.sum()))


@dataclass(frozen=True, eq=False)
class Seen:
    """An image by the network that did not learn its label.

    Attributes:
        truth: label map (H, W).
        probabilities: (C, H, W).
        dsc: Dice of the most probable classes with the truth.
    """

    truth: NDArray[np.uint8]
    probabilities: NDArray[np.float32]
    dsc: float


def see(data: Path, part: Part, seed: int) -> Iterator[Seen]:
    """Spoil a tenth of the labels, train a network for each fold, and let it see the images of the others."""
    samples = replace(plan(data, part.folder), images=part.first + part.images).samples()[part.first :]
    preprocessing = replace(read_card(pretrained_version()).preprocessing, size=part.size)
    rng = np.random.default_rng(seed)
    pairs = [read_sample(sample) for sample in samples]
    truths = {sample.stem: mask for sample, (_, mask) in zip(samples, pairs, strict=True)}
    finer = data / part.folder / "labels"
    if finer.is_dir():
        truths = {sample.stem: read_mask(finer / sample.mask_path.name) for sample in samples}
    grey = {sample.stem: image for sample, (image, _) in zip(samples, pairs, strict=True)}
    given = dict(truths)
    for stem in rng.permutation(sorted(given))[: max(1, round(SPOILED * len(given)))]:
        kinds = [FAULTS[str(kind)] for kind in rng.permutation(list(FAULTS))]
        spoiled = [wrong for kind in kinds if (wrong := kind(given[stem], rng)) is not None]
        given[stem] = spoiled[0] if spoiled else given[stem]
    labels = tuple(f"label {n}" for n in range(1, max(int(mask.max()) for mask in truths.values()) + 1))
    start, _ = pretrained_start(Classes.of(labels))
    settings = TrainingSettings(
        steps=part.steps,
        seed=seed,
        episodes=0,
        validate_every=part.steps,
        checkpoint_every=part.steps,
        loss=LossWeights(dice=default_dice(len(labels))),
    )
    stems = sorted(given)
    examples = [make_example(stem, grey[stem], given[stem], preprocessing) for stem in stems]
    for fold in cross_fit(
        examples, stems, labels=labels, network=start.settings, settings=settings, start=start
    ):
        with TemporaryDirectory() as folder:
            directory = Path(folder) / "version"
            save_version(directory, fold.network, Card("fold", labels, fold.network.settings, preprocessing))
            segmenter = Segmenter(directory, engine="torch")
            for stem in fold.images:
                found = segmenter.segment([grey[stem]])[0]
                dsc = mean_dice(found.final, truths[stem], len(labels))
                yield Seen(truths[stem], found.probabilities, dsc)


def kept(data: Path, part: Part, seed: int, folder: Path | None) -> list[Seen]:
    """What `see` returns, from a file in `folder` if it is there; else it is written there."""
    if folder is None:
        return list(see(data, part, seed))
    name = "-".join(str(value) for value in (*vars(part).values(), seed))
    file = folder / f"{name}.npz"
    if not file.exists():
        arrays: dict[str, Any] = {}
        for number, one in enumerate(see(data, part, seed)):
            rounded = one.probabilities.astype(np.float16)
            arrays |= {f"t{number}": one.truth, f"p{number}": rounded, f"d{number}": np.array(one.dsc)}
        folder.mkdir(parents=True, exist_ok=True)
        part_file = file.with_suffix(".part.npz")
        np.savez_compressed(part_file, **arrays)
        part_file.rename(file)
    with np.load(file) as stored:
        return [
            Seen(stored[f"t{n}"], stored[f"p{n}"].astype(np.float32), float(stored[f"d{n}"]))
            for n in range(len(stored.files) // 3)
        ]


def examine_all(
    seen: Sequence[Seen], size: int, seed: int
) -> tuple[list[Examined], dict[str, list[Examined | None]]]:
    """All labels as they are, and with each kind of fault where that is possible."""
    rng = np.random.default_rng([seed, 1])
    clean: list[Examined] = []
    faulty: dict[str, list[Examined | None]] = {kind: [] for kind in FAULTS}
    for one in seen:
        clean.append(examined(one.probabilities, one.truth, size))
        for kind, fault in FAULTS.items():
            wrong = fault(one.truth, rng)
            faulty[kind].append(None if wrong is None else examined(one.probabilities, wrong, size))
    return clean, faulty


def average_precision(scores: NDArray[np.float64], faulty: NDArray[np.bool_]) -> float:
    """Area under the precision-recall curve; of equal scores the good labels come first."""
    sorted_ = faulty[np.lexsort((faulty, -scores))]
    return float((np.cumsum(sorted_) / np.arange(1, len(sorted_) + 1))[sorted_].mean())


@dataclass(frozen=True)
class Figures:
    """Over the draws: average precision of each order, recall and precision of what would be listed."""

    precision: dict[str, NDArray[np.float64]]
    listed: float
    right: float


def figures(
    clean: Sequence[Examined], faulty: dict[str, list[Examined | None]], kinds: Sequence[str]
) -> Figures:
    """Draw a tenth of the labels to be faulty, of kinds drawn at random, `DRAWS` times."""
    rng = np.random.default_rng(0)
    found: dict[str, list[float]] = {name: [] for name in ORDERS}
    hits = misses = wrong = 0
    for _ in range(DRAWS):
        labels, is_faulty = list(clean), np.zeros(len(clean), np.bool_)
        for index in rng.permutation(len(clean)):
            one = faulty[kinds[int(rng.integers(len(kinds)))]][index]
            if one is not None and is_faulty.sum() < max(1, round(SPOILED * len(clean))):
                labels[index], is_faulty[index] = one, True
        for name, order in ORDERS.items():
            found[name].append(average_precision(order(labels), is_faulty))
        listed = np.array([one.is_listed for one in judge([each.evidence for each in labels])])
        hits += int((listed & is_faulty).sum())
        misses += int((~listed & is_faulty).sum())
        wrong += int((listed & ~is_faulty).sum())
    return Figures(
        {name: np.array(values) for name, values in found.items()},
        hits / (hits + misses),
        hits / max(hits + wrong, 1),
    )


def main() -> None:
    """Parse the options, and print a line for each set and kind."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of sets, each with images/, masks/")
    parser.add_argument("--parts", default=",".join(PARTS), help="which of them, divided by commas")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kept", type=Path, help="folder in which what the networks see is kept")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for name in options.parts.split(","):
        began = time.monotonic()
        seen = kept(options.data, PARTS[name], options.seed, options.kept)
        seconds, dsc = time.monotonic() - began, float(np.mean([one.dsc for one in seen]))
        clean, faulty = examine_all(seen, PARTS[name].size, options.seed)
        kinds = [kind for kind, found in faulty.items() if sum(one is not None for one in found) > 5]
        print(f"{name}, seed {options.seed}: {len(clean)} labels, DSC {dsc:.3f}, {seconds:.0f} s")
        for kind in [*kinds, "all"]:
            found = figures(clean, faulty, kinds if kind == "all" else [kind])
            shown = "  ".join(
                f"{order} {values.mean():.2f} [{np.quantile(values, 0.025):.2f}, "
                f"{np.quantile(values, 0.975):.2f}]"
                for order, values in found.precision.items()
            )
            print(
                f"  {kind:8}  {shown}  listed {found.listed:.0%}, of which right {found.right:.0%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
