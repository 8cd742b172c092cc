"""The images of a demo with their true masks: phantoms, or a folder of the user's own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from model.dataset import DatasetError, FolderSample, folder_labels, read_folder
from model.phantom import write_phantoms
from model.splitting import placement

GROUPS = 19
"""Year-of-age groups of the paper, 0 to 18."""


@dataclass(frozen=True)
class Collection:
    """Images that go into Label Studio, and test images that never do.

    Attributes:
        tasks: images the annotator may be asked to label, with their true masks.
        test: images kept aside; they are never labelled and never used for a choice.
        labels: foreground label names in the order of the mask's class indices.
    """

    tasks: tuple[FolderSample, ...]
    test: tuple[FolderSample, ...]
    labels: tuple[str, ...]


def draw_phantoms(
    directory: Path, tasks: int, test: int, seed: int, progress: Callable[[int, int], None]
) -> Collection:
    """Draw `tasks` + `test` synthetic radiographs, spread evenly over the age groups."""
    per_group = -(-(tasks + test) // GROUPS)
    write_phantoms(directory, groups=GROUPS, per_group=per_group, seed=seed, progress=progress)
    samples = read_folder(directory / "images", directory / "masks")
    return _divide(samples, tasks, test, seed, ("bone",))


def own_images(images: Path, masks: Path, tasks: int | None, test: int, seed: int) -> Collection:
    """Take a folder of images and one of masks with the same stems; masks as in `model.dataset.read_mask`.

    Raises:
        DatasetError: stems without partner, no mask marks anything, or too few images.
    """
    samples = read_folder(images, masks)
    wanted = len(samples) - test if tasks is None else tasks
    return _divide(samples, wanted, test, seed, folder_labels(samples))


def _divide(
    samples: list[FolderSample], tasks: int, test: int, seed: int, labels: tuple[str, ...]
) -> Collection:
    if test < 1 or tasks < 2 or len(samples) < test + 2:
        raise DatasetError(
            f"{len(samples)} images are too few for {test} test images and 2 tasks; give more."
        )
    shuffled = sorted(samples, key=lambda sample: placement(sample.stem, seed))
    return Collection(tasks=tuple(shuffled[test : test + tasks]), test=tuple(shuffled[:test]), labels=labels)
