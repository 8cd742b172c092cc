"""The images of a comparison: read once, augmented once, divided into training and test by seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.imaging.preprocessing import Frame, preprocess
from model.pretrained import pretrained_version
from model.training.augmentation import Augmentation
from model.training.dataset import Example, FolderSample, read_folder, read_sample
from model.training.sampling import have_sides
from model.training.splitting import placement
from model.weights import read_card

VARIANTS = 12
"""Augmented variants of each image: drawing new ones in each step would take more time than a GPU's steps."""
FOLDS = 20
"""Sets of fewer images than this are tested by folds, a third of the images in each."""


@dataclass(frozen=True)
class SetPlan:
    """Which part of a folder is used.

    Attributes:
        folder: contains `images` and `masks`.
        images: number of images that are used.
        test: number of test images, which are the same for all seeds, except in sets of less than `FOLDS`.
        train: number of training images, drawn by seed from the others.
        steps: of the reference.
    """

    folder: Path
    images: int
    test: int
    train: int
    steps: int

    def samples(self) -> list[FolderSample]:
        """The images that are used, in an order that depends on their names alone."""
        found = read_folder(self.folder / "images", self.folder / "masks")
        return sorted(found, key=lambda sample: placement(sample.stem))[: self.images]


PLANS = {"dental": (120, 45, 70, 1000), "breast-us": (150, 75, 70, 600), "chest": (50, 22, 26, 400)}
PLANS |= {
    "oai-longleg": (130, 55, 40, 400),
    "dsb2018-nuclei": (130, 55, 40, 400),
    "hand-bones": (9, 3, 6, 150),
}


def plan(data: Path, name: str) -> SetPlan:
    """The plan of a set in a folder of sets; of an unknown one, all images, a third for the test."""
    if name in PLANS:
        return SetPlan(data / name, *PLANS[name])
    count = len(read_folder(data / name / "images", data / name / "masks"))
    return SetPlan(data / name, count, count // 3, count - count // 3, 600)


@dataclass(frozen=True, eq=False)
class Prepared:
    """The images of a set on canvases of one size.

    Attributes:
        truths: label maps (H, W) at original resolution.
        examples: images and masks on the canvas.
        frames: map canvases to images.
        variants: `VARIANTS` augmented examples of each image.
        labels: largest class index.
    """

    truths: list[NDArray[np.uint8]]
    examples: list[Example]
    frames: list[Frame]
    variants: list[list[Example]]
    labels: int


def prepare(samples: Sequence[FolderSample], size: int, *, mirrored: bool) -> Prepared:
    """Read and augment the images of a set.

    Args:
        samples: the images.
        size: longer side of the canvas in pixels.
        mirrored: whether images are mirrored although their labels have sides.
    """
    preprocessing = replace(read_card(pretrained_version()).preprocessing, size=size)
    truths, examples, frames = [], [], []
    for sample in samples:
        image, truth = read_sample(sample)
        canvas, frame = preprocess(image, preprocessing)
        truths.append(truth)
        frames.append(frame)
        examples.append(Example(sample.stem, canvas, frame.forward_mask(truth)))
    mirror = mirrored or not have_sides(examples)
    variants = [_variants(example, seed, mirror=mirror) for seed, example in enumerate(examples)]
    return Prepared(truths, examples, frames, variants, max(int(truth.max()) for truth in truths))


def _variants(example: Example, seed: int, *, mirror: bool) -> list[Example]:
    augmentation = Augmentation(seed, mirror=mirror)
    pairs = [augmentation(example.image, example.mask, step=step, slot=0) for step in range(VARIANTS)]
    return [Example(example.key, image, mask) for image, mask in pairs]


def sides(wanted: SetPlan, part: str, seed: int) -> tuple[list[int], list[int]]:
    """Indices of training and test images.

    Args:
        wanted: the set.
        part: "final" tests on the fixed test images; "pilot", where arms are chosen, on a third of the
            others, so that no choice depends on the test images. Sets of less than `FOLDS` images have no
            others: theirs are the same in both.
        seed: draws the training images.
    """
    if wanted.images < FOLDS:
        tested = [(seed * wanted.test + offset) % wanted.images for offset in range(wanted.test)]
        return [index for index in range(wanted.images) if index not in tested], tested
    others = np.arange(wanted.test, wanted.images)
    pool = [int(index) for index in np.random.default_rng([seed, 7]).permutation(others)]
    if part == "final":
        return sorted(pool[: wanted.train]), list(range(wanted.test))
    third = len(pool) // 3
    return sorted(pool[third:][: wanted.train]), sorted(pool[:third])
