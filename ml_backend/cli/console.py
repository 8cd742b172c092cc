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
    TimeRemainingColumn,
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


def long_progress_bar() -> Progress:
    """The same for hours of work: it also estimates the time that is left."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
        console=Console(stderr=True, highlight=False),
        # Rounds take seconds to minutes each: a pace over half a minute would be one of none.
        speed_estimate_period=1800,
    )
