"""Consoles for results and errors, and progress bars."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from ml_backend.queue.logs import printable

WIDEST = 1000
"""Columns of a line in a file; a longer one is broken."""


class PlainConsole(Console):
    """A console on which no text of others is markup, or can send the terminal its commands."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"highlight": False, "markup": False, "emoji": False, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        """A text as it is shown; all that is printed as a string or in a table's cell comes here."""
        return super().render_str(_plain(text), **options)

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterator[Segment]:
        """The parts of anything that is printed, such as a `Text`, which bypasses `render_str`."""
        for part in super().render(renderable, options):
            yield part if part.control else Segment(_plain(part.text), part.style)


def _plain(text: str) -> str:
    return "\n".join(printable(line) for line in text.split("\n"))


def output() -> Console:
    """A console for results, on standard output."""
    return PlainConsole()


def listing(*columns: str, right: Collection[str] = ()) -> Table:
    """An empty table whose first column, a name, is never cut, as people copy names from it."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0))
    for place, column in enumerate(columns):
        justify = "right" if column in right else "left"
        table.add_column(column, justify=justify, no_wrap=place == 0, overflow="fold")  # type: ignore[arg-type]
    return table


def print_listing(table: Table, title: str = "") -> None:
    """Print a table below its title; in a file or pipe no row is broken, however wide it is."""
    console = output()
    if not console.is_terminal:
        wide = console.options.update(width=WIDEST)
        console.width = max(console.width, console.measure(table, options=wide).maximum)
    if title:
        console.print(title, style="bold", soft_wrap=True)
    console.print(table)


def print_points(sentences: Iterable[str]) -> None:
    """Print sentences as a list: one line each, which a terminal breaks with an indent."""
    console = output()
    for sentence in sentences:
        if console.is_terminal:
            line = Table.grid(padding=(0, 1, 0, 0))
            line.add_row("-", sentence)
            console.print(Padding(line, (0, 0, 0, 2)))
        else:
            console.print(f"  - {sentence}", soft_wrap=True)


def counted(number: int, noun: str) -> str:
    """Such as "1 image" or "3 images"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def print_left_out(
    images: Path | None, masks: Path | None = None, suffixes: Collection[str] | None = None
) -> None:
    """Name the files that are not read from folders of images and masks.

    `suffixes` are those of the images that are read, without DICOM if None.
    """
    from model.imaging.files import IMAGE_SUFFIXES
    from model.training.dataset import left_out_sentences

    for sentence in left_out_sentences(images, masks, suffixes or IMAGE_SUFFIXES):
        output().print(sentence, soft_wrap=True)


def print_error(sentence: str) -> None:
    """Print one sentence on standard error."""
    PlainConsole(stderr=True, soft_wrap=True).print(f"dsal: {sentence}", style="red")


def progress_bar(*, shown: bool = True, for_hours: bool = False) -> Progress:
    """A bar with counts and elapsed time, on standard error, if it is to be shown.

    Work that takes hours also gets an estimate of the time left.
    """
    left = (TextColumn("left"), TimeRemainingColumn()) if for_hours else ()
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        *left,
        TextColumn("{task.fields[note]}"),
        console=PlainConsole(stderr=True),
        # A part may take minutes, so a speed estimated over the default of 30 s would often be zero.
        speed_estimate_period=1800 if for_hours else 30,
        disable=not shown,
    )
