"""The images of a demo with their true masks: phantoms, or the user's own."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from model.imaging.decoding import ImageError, image_size
from model.research.phantom import write_phantoms
from model.training.dataset import DatasetError, FolderSample, folder_labels, read_folder, read_mask
from model.training.splitting import placement

GROUPS = 19
"""Year-of-age groups of the paper, 0 to 18."""
UPLOADED = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".webp"})
"""Suffixes of image files that Label Studio accepts as uploads."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class DemoImages:
    """Images that are uploaded to Label Studio, and test images that are not.

    Attributes:
        tasks: images to be labelled, with their true masks.
        test: reserved images, never labelled and never used to choose a version.
        labels: foreground label names in the order of the mask's class indices.
        left_out: stems of images with an empty mask, which nothing can be learned from.
    """

    tasks: tuple[FolderSample, ...]
    test: tuple[FolderSample, ...]
    labels: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def draw_phantoms(directory: Path, tasks: int, test: int, seed: int, progress: Progress) -> DemoImages:
    """Draw `tasks` + `test` synthetic radiographs, spread evenly over the age groups.

    `progress` is called with (done, total) after each; an exception that it raises ends the drawing.
    """
    per_group = -(-(tasks + test) // GROUPS)
    write_phantoms(directory, groups=GROUPS, per_group=per_group, seed=seed, progress=progress)
    samples = read_folder(directory / "images", directory / "masks")
    return _divide(samples, tasks, test, seed, ("bone",))


def own_images(
    images: Path,
    masks: Path,
    tasks: int,
    test: int,
    seed: int,
    progress: Progress,
    names: Sequence[str] | None = None,
) -> DemoImages:
    """Read a folder of images and one of masks with the same stems; for masks see `read_mask`.

    Every file is checked now, so that an unusable one is reported before anything is started.

    Args:
        images, masks: the folders.
        tasks: maximum number of tasks; further images are not used.
        test: number of test images.
        seed: seed of the division into tasks and test images.
        progress: called with (done, total) after each file.
        names: of the labels; None for those that `folder_labels` finds.

    Raises:
        DatasetError: a stem has only one file, a file cannot be used, or too few masks are not empty.
    """
    samples = read_folder(images, masks)
    usable: list[FolderSample] = []
    for done, sample in enumerate(samples, start=1):
        if _has_mask(sample):
            usable.append(sample)
        progress(done, len(samples))
    labels = folder_labels(usable or samples, names)
    left_out = tuple(sorted({sample.stem for sample in samples} - {sample.stem for sample in usable}))
    return _divide(usable, tasks, test, seed, labels, left_out)


def _has_mask(sample: FolderSample) -> bool:
    """Whether the mask is not empty; raises DatasetError if image and mask cannot be used together."""
    if sample.image_path.suffix.lower() not in UPLOADED:
        raise DatasetError(
            f"Label Studio does not accept {sample.image_path.suffix} files such as "
            f"{sample.image_path.name}; convert them to PNG."
        )
    mask = read_mask(sample.mask_path)
    try:
        size = image_size(sample.image_path.read_bytes())
    except ImageError as error:
        raise DatasetError(f"{sample.image_path.name}: {error}") from error
    if mask.shape != size:
        raise DatasetError(
            f"The mask of {sample.stem} has {mask.shape[0]}×{mask.shape[1]} pixels (height × width) but its "
            f"image {size[0]}×{size[1]}; give a mask of the image's size."
        )
    return bool(mask.any())


def upload_names(samples: Sequence[FolderSample]) -> dict[str, FolderSample]:
    """The samples by file names that Label Studio does not change: letters, digits, `-`, `_` and dots."""
    named: dict[str, FolderSample] = {}
    for number, sample in enumerate(samples):
        name = re.sub(r"[^\w-]", "_", sample.stem, flags=re.ASCII) + sample.image_path.suffix.lower()
        named[f"{number}_{name}" if name in named else name] = sample
    return named


def _divide(
    samples: list[FolderSample],
    tasks: int,
    test: int,
    seed: int,
    labels: tuple[str, ...],
    left_out: tuple[str, ...] = (),
) -> DemoImages:
    if test < 1 or tasks < 2 or len(samples) < test + 2:
        raise DatasetError(
            f"{len(samples)} images whose mask is not empty are too few for {test} test images and 2 tasks; "
            "give more images or a smaller --test."
        )
    shuffled = sorted(samples, key=lambda sample: placement(sample.stem, seed))
    return DemoImages(tuple(shuffled[test : test + tasks]), tuple(shuffled[:test]), labels, left_out)


POLL_SECONDS = 0.2


class _StoppedError(Exception):
    """The `with` block was left before the drawing had ended."""


class PhantomDrawing:
    """Draws a collection of phantoms in a thread, which ends at the latest with the `with` block."""

    def __init__(self, directory: Path, tasks: int, test: int, seed: int) -> None:
        self._arguments = (directory, tasks, test, seed)
        self._thread = threading.Thread(target=self._draw, name="drawing")
        self._stop = threading.Event()
        self._done = (0, tasks + test)
        self._collection: DemoImages | None = None
        self._failure: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def wait(self, progress: Callable[[int, int], None]) -> DemoImages:
        """Wait for the collection; `progress` is called with (done, total) meanwhile.

        Raises any exception of the drawing.
        """
        while self._thread.is_alive():
            progress(*self._done)
            self._thread.join(POLL_SECONDS)
        if self._collection is None:
            assert self._failure is not None
            raise self._failure
        return self._collection

    def _draw(self) -> None:
        try:
            self._collection = draw_phantoms(*self._arguments, progress=self._note)
        except Exception as error:  # noqa: BLE001 - raised again in the thread that waits
            self._failure = error

    def _note(self, done: int, total: int) -> None:
        self._done = (done, total)
        if self._stop.is_set():
            raise _StoppedError
