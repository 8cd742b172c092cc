"""An export into a folder: it can be stopped and run again, and overwrites nothing that it did not write."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from ml_backend.export.formats import FORMATS, Format, Record
from ml_backend.export.journal import LOCK, Journal
from ml_backend.export.names import Names, safe
from ml_backend.export.pictures import CannotExpressError, ExportError, FileMissingError
from ml_backend.export.source import Item, LeftOut, Source
from ml_backend.items import is_outside, reason
from ml_backend.label_studio.images.reader import IMAGE_FAULTS

logger = logging.getLogger(__name__)

IMAGES, LEFT_OUT = "images.csv", "left-out.csv"


@dataclass
class Outcome:
    """What an export did.

    Attributes:
        written, unchanged: number of pictures written now, and of those that were there already.
        changed: number of those written now because they have changed since a former run.
        removed: names of pictures that are no longer part of the export, whose files were deleted.
        left_out: the images that are not exported.
        files: what a person should know in the folder.
    """

    written: int = 0
    unchanged: int = 0
    changed: int = 0
    removed: list[str] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    files: list[str] = field(default_factory=list)

    @property
    def failed(self) -> int:
        """Number of pictures that another run may still export."""
        return sum(each.failed for each in self.left_out)


def export(
    folder: Path,
    format_name: str,
    source: Source,
    *,
    form: Format | None = None,
    progress: Callable[[], None] = lambda: None,
) -> Outcome:
    """Export all pictures of a source into a folder.

    Errors about one picture leave it out.

    Args:
        folder: where to write; a new one, or that of an export to go on with.
        format_name: of the format.
        source: the pictures.
        form: the format; None takes that of `FORMATS` with this name.
        progress: called after each image.

    Raises:
        ExportError: the folder has other files, another export, or is being written by another process.
        LabelStudioError: Label Studio stops answering; what is written stays, and another run goes on.
    """
    about = {"format": format_name, "labels": list(source.legend.labels), **source.about}
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / LOCK
    try:
        with FileLock(lock, timeout=0):
            try:
                journal = Journal(folder, about)
                return _Export(folder, form or FORMATS[format_name], source, journal).run(progress)
            finally:
                lock.unlink(missing_ok=True)
    except Timeout as error:
        raise ExportError(f"Another process exports into {folder}; wait for it.") from error


class _Export:
    """An export in progress."""

    def __init__(self, folder: Path, form: Format, source: Source, journal: Journal) -> None:
        self._folder, self._source, self._journal = folder, source, journal
        self._format = form
        self._names = Names(journal.names())
        self._outcome = Outcome()
        self._seen: set[str] = set()

    def run(self, progress: Callable[[], None]) -> Outcome:
        for each in self._source.items():
            if isinstance(each, LeftOut):
                self._outcome.left_out.append(each)
            else:
                self._seen.add(each.key)
                self._export(each)
            progress()
        self._remove_others()
        self._finish()
        return self._outcome

    def _export(self, item: Item) -> None:
        former = self._journal.digest(item.key)
        name = self._names.name(item.key, item.file)
        if former == item.digest and all((self._folder / one).exists() for one in self._format.files(name)):
            self._outcome.unchanged += 1
            return
        try:
            picture = item.read()
            content = self._format.write(self._folder, name, picture, self._source.legend)
        except CannotExpressError as error:
            self._outcome.left_out.append(LeftOut(item.key, item.file, str(error)))
            self._seen.discard(item.key)
            return
        except (*IMAGE_FAULTS, FileMissingError) as error:
            self._outcome.left_out.append(LeftOut(item.key, item.file, str(error), failed=True))
            return
        except Exception as error:
            # A picture in which something is wrong that nobody foresaw must not keep the others back.
            if is_outside(error):
                raise
            logger.exception("The picture of %s is left out.", item.key)
            sentence = f"It cannot be exported ({reason(error)})."
            self._outcome.left_out.append(LeftOut(item.key, item.file, sentence, failed=True))
            return
        suffix = Path(item.file).suffix
        self._journal.add(
            {
                "key": item.key,
                "digest": item.digest,
                "name": name,
                "task": picture.task,
                "image": f"{name}.{safe(suffix)}" if suffix else name,
                "width": picture.label_map.shape[1],
                "height": picture.label_map.shape[0],
                "source": picture.source,
                "notes": list(picture.notes),
                "files": self._format.files(name),
                "content": content,
            }
        )
        self._outcome.written += 1
        self._outcome.changed += former is not None

    def _remove_others(self) -> None:
        """Delete the files of pictures whose labels or images are gone since a former run."""
        gone = self._journal.keys() - self._seen if self._source.is_whole else set()
        if not gone:
            return
        for key, name in self._journal.names():
            if key in gone:
                for file in self._format.files(name):
                    (self._folder / file).unlink(missing_ok=True)
                self._outcome.removed.append(name)
        self._journal.drop(gone)

    def _finish(self) -> None:
        files = self._format.finish(self._folder, self._journal.records, self._source.legend)
        columns = ("name", "files", "task", "image", "width", "height", "source", "notes")
        _write_csv(self._folder / IMAGES, columns, map(_row, self._journal.records()))
        left = ((each.key, each.file, each.reason) for each in self._outcome.left_out)
        _write_csv(self._folder / LEFT_OUT, ("key", "image", "reason"), left)
        self._outcome.files = [*files, IMAGES, LEFT_OUT]


def _row(record: Record) -> tuple[Any, ...]:
    known = ("task", "image", "width", "height", "source")
    return (
        record["name"],
        " ".join(record["files"]),
        *(record[key] for key in known),
        " ".join(record["notes"]),
    )


def _write_csv(path: Path, columns: tuple[str, ...], rows: Any) -> None:
    draft = path.with_name(f".{path.name}")
    with draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows(rows)
    draft.replace(path)
