"""What the command line prints with: one console for answers, one for errors, one kind of progress bar."""

from __future__ import annotations

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)


def answers() -> Console:
    """The console for results, on standard output."""
    return Console(highlight=False)


def failure(sentence: str) -> None:
    """Print one sentence on standard error."""
    Console(stderr=True, highlight=False, soft_wrap=True).print(
        f"dsal: {sentence}", style="red", markup=False
    )


def progress_bar() -> Progress:
    """A bar with counts and the time it has taken, for anything longer than a breath."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True, highlight=False),
    )
