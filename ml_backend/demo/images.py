"""The images of a demo with their true masks: phantoms, or a folder of the user's own."""

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
"""Image files that Label Studio takes as an upload."""

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Collection:
    """Images that go into Label Studio, and test images that never do.

    Attributes:
        tasks: images the annotator may be asked to label, with their true masks.
        test: images kept aside; they are never labelled and never used for a choice.
        labels: foreground label names in the order of the mask's class indices.
        left_out: stems of images whose mask marks nothing; nobody could learn from submitting it.
    """

    tasks: tuple[FolderSample, ...]
    test: tuple[FolderSample, ...]
    labels: tuple[str, ...]
    left_out: tuple[str, ...] = ()


def draw_phantoms(directory: Path, tasks: int, test: int, seed: int, progress: Progress) -> Collection:
    """Draw `tasks` + `test` synthetic radiographs, spread evenly over the age groups.

    `progress` takes (drawn, of how many) after each; what it raises ends the drawing.
    """
    per_group = -(-(tasks + test) // GROUPS)
    write_phantoms(directory, groups=GROUPS, per_group=per_group, seed=seed, progress=progress)
    samples = read_folder(directory / "images", directory / "masks")
    return _divide(samples, tasks, test, seed, ("bone",))


def own_images(images: Path, masks: Path, tasks: int, test: int, seed: int, progress: Progress) -> Collection:
    """Take a folder of images and one of masks with the same stems; masks as `read_mask` reads.

    Every file is looked at before anything is started: a wrong one is named now, and not in a training.
    `tasks` is the most images that are taken beside `test` ones.

    Raises:
        DatasetError: a stem has no partner, a file cannot be used, no mask marks anything, or too few do.
    """
    samples = read_folder(images, masks)
    marked: list[FolderSample] = []
    for done, sample in enumerate(samples, start=1):
        if _marks_something(sample):
            marked.append(sample)
        progress(done, len(samples))
    labels = folder_labels(marked) if marked else folder_labels(samples)
    left_out = tuple(sorted({sample.stem for sample in samples} - {sample.stem for sample in marked}))
    return _divide(marked, tasks, test, seed, labels, left_out)


def _marks_something(sample: FolderSample) -> bool:
    """Whether the mask marks anything; raises DatasetError if image and mask cannot be used together."""
    if sample.image_path.suffix.lower() not in UPLOADED:
        raise DatasetError(
            f"Label Studio takes no {sample.image_path.suffix} files such as {sample.image_path.name}; "
            "convert them to PNG."
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
    """The samples by file names that Label Studio keeps as they are: letters, digits, `-`, `_` and dots."""
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
) -> Collection:
    if test < 1 or tasks < 2 or len(samples) < test + 2:
        raise DatasetError(
            f"{len(samples)} images with a mask that marks something are too few for {test} test images and "
            "2 tasks; give more, or fewer --test."
        )
    shuffled = sorted(samples, key=lambda sample: placement(sample.stem, seed))
    return Collection(tuple(shuffled[test : test + tasks]), tuple(shuffled[:test]), labels, left_out)


POLL_SECONDS = 0.2


class _StoppedError(Exception):
    """Nobody waits for the drawing any more."""


class Drawing:
    """A collection of phantoms in the making, in a thread that ends when the `with` block does."""

    def __init__(self, directory: Path, tasks: int, test: int, seed: int) -> None:
        self._arguments = (directory, tasks, test, seed)
        self._thread = threading.Thread(target=self._draw, name="drawing")
        self._stop = threading.Event()
        self._done = (0, tasks + test)
        self._collection: Collection | None = None
        self._failure: Exception | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def wait(self, progress: Callable[[int, int], None]) -> Collection:
        """The collection once it is drawn; `progress` is told (drawn, of how many) meanwhile.

        Raises what the drawing raised.
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
