"""Image files in, pictures out: the masks that a version draws on images that are in no project."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_backend.export.pictures import ExportError, Legend, Picture, components
from ml_backend.export.source import Item, LeftOut
from ml_backend.label_studio.regions.tidying import Limits, tidied
from model.imaging.decoding import ImageError
from model.imaging.files import ImageFiles, as_text, readable_suffixes

if TYPE_CHECKING:
    from model.segmenter import Segmentation, Segmenter


def image_files(places: Iterable[Path]) -> list[Path]:
    """The image files among files and in folders (not in folders within them), each once, sorted in folders.

    Raises:
        ExportError: there are none.
    """
    found: dict[Path, None] = {}
    suffixes = readable_suffixes()
    for place in places:
        inside = sorted(place.iterdir()) if place.is_dir() else [place]
        found.update(
            dict.fromkeys(
                path.absolute()
                for path in inside
                if path == place or (path.suffix.lower() in suffixes and path.is_file())
            )
        )
    if not found:
        raise ExportError("There are no images; give files or folders with files such as .png or .jpg.")
    return list(found)


def segmented(
    segmenter: Segmenter, paths: Iterable[Path], bad: Callable[[Path, str], None]
) -> Iterator[tuple[Path, Segmentation]]:
    """Segment image files one after another; `bad` is called with those that cannot be read, and why."""
    waiting: deque[Path] = deque()

    def images(files: ImageFiles) -> Iterator[Any]:
        for path in paths:
            try:
                image = files.read(path)
            except (ImageError, OSError) as error:
                bad(path, _reason(error))
                continue
            waiting.append(path)
            yield image

    with ImageFiles() as files:
        for found in segmenter.stream(images(files)):
            yield waiting.popleft(), found


@dataclass(frozen=True)
class Files:
    """The masks that a version draws on image files.

    Attributes:
        paths: the files.
        segmenter: the version's.
        weights: their hash, or what else identifies them.
        threshold: of the masks, as in the version's project; None: the most probable class of a pixel.
        limits: to which masks are tidied, as in the version's project; None leaves them as the network draws.
    """

    paths: Sequence[Path]
    segmenter: Segmenter
    weights: str
    threshold: float | None = None
    limits: Limits | None = None

    is_whole = False

    @property
    def legend(self) -> Legend:
        """The labels of the version."""
        return Legend(self.segmenter.labels)

    @property
    def about(self) -> dict[str, Any]:
        """What decides how masks are drawn."""
        limits = None if self.limits is None else [self.limits.smallest, self.limits.regions]
        version = self.segmenter.card.name
        return {
            "what": "predictions",
            "version": version,
            "weights": self.weights,
            "threshold": self.threshold,
            "limits": limits,
        }

    def total(self) -> int:
        """Number of files."""
        return len(self.paths)

    def items(self) -> Iterator[Item | LeftOut]:
        """The files."""
        with ImageFiles() as files:
            for path in self.paths:
                try:
                    with path.open("rb") as file:
                        digest = hashlib.file_digest(file, "sha256").hexdigest()
                except OSError as error:
                    name = as_text(path.name)
                    yield LeftOut(as_text(path), name, f"{name}: {_reason(error)}", failed=True)
                    continue
                yield Item(as_text(path), as_text(path.name), digest, partial(self._draw, path, files))

    def _draw(self, path: Path, files: ImageFiles) -> Picture:
        try:
            image = files.read(path)
        except ImageError as error:
            raise ImageError(f"{as_text(path.name)}: {error}") from error
        found = self.segmenter.segment([image], threshold=self.threshold)[0]
        drawn = found.final if self.limits is None else tidied(found.final, self.limits)
        notes = (f"Consistency score {found.consistency.score:.4f}.",)
        return Picture(None, {}, drawn, list(components(drawn)), self.segmenter.card.name, notes)


def _reason(error: Exception) -> str:
    return f"{error.strerror}." if isinstance(error, OSError) and error.strerror else str(error)
