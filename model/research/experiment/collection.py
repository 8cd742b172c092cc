"""The images of an experiment: reading, preprocessing, and the split into training, validation and test.

Images are read and preprocessed once and kept in memory. The split is the same for all arms and seeds; the
start set, the images that are labelled first, depends on the seed.
"""

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
"""Largest longer side of phantoms in pixels, as in the paper's images."""
BOUNDARY_FACTOR = np.pi / 4
"""Factor from pixel edges to length: averaged over directions, a line has 4/π edges per length (Cauchy)."""
SPLIT_SEED = 0
"""Seed of the split, which is independent of the experiment's seeds."""


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """One image with its ground truth.

    Attributes:
        stem: stem of the names of its files.
        example: image and mask on the network's canvas.
        frame: mapping between canvas and image.
        truth: label map (H, W) at original resolution.
        boundary: `boundary_length` of the truth, a measure of the annotator's effort.
        subject: identifies the person; all images of a subject are on the same side of the split.
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
        images: the images with their ground truth.
        labels: foreground label names in the order of the class indices.
        fingerprint: SHA-256 of stems, subjects, pixels on the canvas and truths.
    """

    images: tuple[LabelledImage, ...]
    labels: tuple[str, ...]
    fingerprint: str


@dataclass(frozen=True)
class PoolSplit:
    """A split of a collection, as indices of its images; no subject is on two sides.

    Attributes:
        training: the pool from which labels are chosen.
        validation: images that select the weights of a training and calibrate quality estimates.
        test: images that are only measured.
    """

    training: tuple[int, ...]
    validation: tuple[int, ...]
    test: tuple[int, ...]


@dataclass(frozen=True)
class ImageSource:
    """Where the images of a collection come from.

    Attributes:
        images, masks: folders of files with the same stems; masks as in `model.training.dataset.read_mask`.
        subjects: CSV file with the columns `stem` and `subject`; None if each image is its own subject.
        phantoms: whether to draw 209 phantoms, in the age groups of the paper, into the folders first.
        labels: names of the labels; None for those that `folder_labels` finds.
    """

    images: Path
    masks: Path
    subjects: Path | None = None
    phantoms: bool = False
    labels: tuple[str, ...] | None = None

    @classmethod
    def of_phantoms(cls, folder: Path) -> ImageSource:
        """A source of phantoms, which are drawn into the folder when they are first read."""
        return cls(folder / "images", folder / "masks", phantoms=True, labels=("bone",))

    def read(self, size: int, progress: Callable[[int, int], None] | None = None) -> Collection:
        """Read and preprocess all images.

        Args:
            size: longer side of the canvas in pixels.
            progress: called with (done, total) after each image is drawn, and after each is read.

        Raises:
            DatasetError: images or masks cannot be used.
            ExperimentError: the CSV file lacks a column or an image.
        """
        if self.phantoms:
            _draw_phantoms(self.images.parent, progress)
        samples = read_folder(self.images, self.masks)
        labels = folder_labels(samples, self.labels)
        subjects = _subjects(self.subjects, [sample.stem for sample in samples])
        preprocessing = PreprocessingSettings(size=size)
        images = []
        for sample in samples:
            images.append(_read(sample, subjects[sample.stem], preprocessing))
            if progress is not None:
                progress(len(images), len(samples))
        return Collection(tuple(images), labels, _fingerprint(images))


def split_collection(collection: Collection, counts: tuple[int, int, int] | None) -> PoolSplit:
    """Split a collection by subject; the split is the same for all arms and seeds.

    In an order that depends only on their names, subjects are assigned to test, then validation, then
    training until each has its number of images. With several images per subject, a side may become slightly
    larger.

    Args:
        collection: the images.
        counts: numbers of training, validation and test images; None for `proportional`.

    Raises:
        ExperimentError: the counts exceed the number of images, or a side would be empty.
    """
    total = len(collection.images)
    training, validation, test = counts or proportional(total)
    if training + validation + test > total:
        raise ExperimentError(
            f"A split of {training},{validation},{test} needs {training + validation + test} images, but "
            f"there are only {total}; give smaller numbers."
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
            "give more images."
        )
    return PoolSplit(tuple(sides[2]), tuple(sides[1]), tuple(sides[0]))


def proportional(total: int) -> tuple[int, int, int]:
    """Numbers of training, validation and test images, 139 : 20 : 50 as in the paper, at least one each."""
    _, validation, test = (max(1, round(total * part / sum(PAPER_SPLIT))) for part in PAPER_SPLIT)
    return max(1, total - validation - test), validation, test


def start_set(training: Sequence[int], count: int, seed: int) -> list[int]:
    """The images that are labelled first: `count` random ones of the pool, depending only on the seed."""
    order = np.random.default_rng([seed, 0]).permutation(len(training))
    return [training[position] for position in order[:count]]


def boundary_length(labels: NDArray[np.uint8]) -> float:
    """Length in pixels of the boundaries between labels of a map (H, W), without the edge of the image."""
    edges = np.count_nonzero(labels[1:] != labels[:-1]) + np.count_nonzero(labels[:, 1:] != labels[:, :-1])
    return float(edges * BOUNDARY_FACTOR)


def _draw_phantoms(folder: Path, progress: Callable[[int, int], None] | None) -> None:
    # The list is written last, so without it the drawing was interrupted.
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
            raise ExperimentError(f"{path} lacks the columns stem and subject; add them to its first line.")
        found = {row["stem"]: row["subject"] for row in rows}
    missing = sorted(set(stems) - found.keys())
    if missing:
        raise ExperimentError(
            f"{path} has no subject for {missing[0]} and {len(missing) - 1} other images; add them."
        )
    return found


def _fingerprint(images: Sequence[LabelledImage]) -> str:
    digest = hashlib.sha256()
    for image in images:
        digest.update(f"\0{image.stem}\0{image.subject}\0{image.truth.shape}\0".encode())
        digest.update(image.example.image.tobytes())
        digest.update(image.truth.tobytes())
    return digest.hexdigest()
