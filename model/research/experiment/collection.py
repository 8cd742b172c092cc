"""The images of an experiment: read and preprocessed once, and split into training, validation and test."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from model.imaging.preprocessing import Frame, PreprocessingSettings, preprocess
from model.research.experiment.settings import PAPER_SPLIT, ExperimentError
from model.research.phantom import write_phantoms
from model.training.dataset import Example, FolderSample, folder_labels, read_folder, read_sample
from model.training.splitting import placement

PHANTOM_SIDE = 600
"""Longer side of phantoms in pixels, as the paper's images have."""
BOUNDARY_FACTOR = np.pi / 4
"""Pixel edges to length: edges of a line in any direction are 4/π of its length on average (Cauchy)."""


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """One image with its truth.

    Attributes:
        stem: name of its files.
        example: image and mask on the network's canvas.
        frame: the canvas's place on the image.
        truth: label map (H, W) at original resolution.
        boundary: length of the truth's outlines in pixels of the original, the annotator's effort.
        subject: images of one subject are never on two sides of the split.
    """

    stem: str
    example: Example
    frame: Frame
    truth: NDArray[np.uint8]
    boundary: float
    subject: str


@dataclass(frozen=True, eq=False)
class Collection:
    """All images of an experiment, sorted by stem.

    Attributes:
        images: with their truth.
        labels: foreground label names in the order of the class indices.
        fingerprint: SHA-256 of stems, subjects, pixels on the canvas and truths.
    """

    images: tuple[LabelledImage, ...]
    labels: tuple[str, ...]
    fingerprint: str


@dataclass(frozen=True)
class Source:
    """Where a collection comes from.

    Attributes:
        images, masks: folders whose files share their stems; masks as in `model.training.dataset.read_mask`.
        subjects: a CSV file with the columns `stem` and `subject`; without, each image is a subject.
        phantoms: whether the folders are to be filled with the 209 phantoms of the paper's age groups.
    """

    images: Path
    masks: Path
    subjects: Path | None = None
    phantoms: bool = False

    @classmethod
    def of_phantoms(cls, folder: Path) -> Source:
        """Phantoms, drawn into the folder when they are first read."""
        return cls(folder / "images", folder / "masks", phantoms=True)

    def read(self, size: int, progress: Callable[[int, int], None] | None = None) -> Collection:
        """Read and preprocess everything; `progress(done, total)` is called after each image, drawn or read.

        Raises:
            DatasetError: images or masks that cannot be used.
            ExperimentError: the CSV file lacks a column or an image.
        """
        if self.phantoms:
            _draw_phantoms(self.images.parent, progress)
        samples = read_folder(self.images, self.masks)
        labels = folder_labels(samples)
        subjects = _subjects(self.subjects, [sample.stem for sample in samples])
        preprocessing = PreprocessingSettings(size=size)
        images = []
        for sample in samples:
            images.append(_read(sample, subjects[sample.stem], preprocessing))
            if progress is not None:
                progress(len(images), len(samples))
        return Collection(tuple(images), labels, _fingerprint(images))


def boundary_length(labels: NDArray[np.uint8]) -> float:
    """Length in pixels of the lines between different labels of a map (H, W); the image's rim is none."""
    edges = np.count_nonzero(labels[1:] != labels[:-1]) + np.count_nonzero(labels[:, 1:] != labels[:, :-1])
    return float(edges * BOUNDARY_FACTOR)


def _draw_phantoms(folder: Path, progress: Callable[[int, int], None] | None) -> None:
    # The list is written last: without it the drawing was interrupted.
    if not (folder / "phantoms.csv").exists():
        write_phantoms(folder, max_side=PHANTOM_SIDE, progress=progress)


def _read(sample: FolderSample, subject: str, preprocessing: PreprocessingSettings) -> LabelledImage:
    pixels, truth = read_sample(sample)
    canvas, frame = preprocess(pixels, preprocessing)
    example = Example(sample.stem, canvas, frame.forward_mask(truth))
    return LabelledImage(sample.stem, example, frame, truth, boundary_length(truth), subject)


def _subjects(path: Path | None, stems: Sequence[str]) -> Mapping[str, str]:
    if path is None:
        return {stem: stem for stem in stems}
    with path.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        if not {"stem", "subject"} <= set(rows.fieldnames or ()):
            raise ExperimentError(f"{path} lacks the columns stem and subject; name them in its first line.")
        found = {row["stem"]: row["subject"] for row in rows}
    missing = sorted(set(stems) - found.keys())
    if missing:
        raise ExperimentError(
            f"{path} names no subject for {missing[0]} and {len(missing) - 1} other images."
        )
    return found


def _fingerprint(images: Sequence[LabelledImage]) -> str:
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"\0{image.stem}\0{image.subject}\0{image.truth.shape}\0".encode())
        digest.update(image.example.image.tobytes())
        digest.update(image.truth.tobytes())
    return digest.hexdigest()


SPLIT_SEED = 0


@dataclass(frozen=True)
class Sides:
    """Indices into a collection; no subject is on two sides.

    Attributes:
        training: the pool that labels are taken from.
        validation: choose the weights of a training.
        test: are only ever measured.
    """

    training: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


def divide(collection: Collection, counts: tuple[int, int, int] | None) -> Sides:
    """The fixed division of a collection: the same for every arm and seed.

    Subjects go whole, in an order that their names alone decide, to test, then validation, then training,
    until each has its count; with several images a subject, sides come out a little larger than asked for.

    Raises:
        ExperimentError: the counts are more than there are images, or a side stays empty.
    """
    total = len(collection.images)
    training, validation, test = counts or proportional(total)
    if training + validation + test > total:
        raise ExperimentError(
            f"A split of {training},{validation},{test} needs {training + validation + test} images and "
            f"there are {total}; give smaller numbers."
        )
    groups: dict[str, list[int]] = {}
    for index, image in enumerate(collection.images):
        groups.setdefault(image.subject, []).append(index)
    order = sorted(groups, key=lambda subject: (placement(subject, SPLIT_SEED), subject))
    sides: list[list[int]] = []
    for wanted in (test, validation, training):
        side: list[int] = []
        while order and len(side) < wanted:
            side += groups[order.pop(0)]
        sides.append(sorted(side))
    if not all(sides):
        raise ExperimentError(
            f"{total} images of {len(groups)} subjects are too few for training, validation and test; "
            "give more."
        )
    return Sides(tuple(sides[2]), tuple(sides[1]), tuple(sides[0]))


def proportional(total: int) -> tuple[int, int, int]:
    """All of `total` images, divided as the paper did: 139 : 20 : 50, at least one for each side."""
    _, validation, test = (max(1, round(total * part / sum(PAPER_SPLIT))) for part in PAPER_SPLIT)
    return max(1, total - validation - test), validation, test


def start_set(training: Sequence[int], count: int, seed: int) -> list[int]:
    """The images labelled first: `count` of the pool at random, by the seed alone."""
    order = np.random.default_rng([seed, 0]).permutation(len(training))
    return [training[position] for position in order[:count]]
