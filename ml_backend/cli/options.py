"""Options and arguments that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Number = Annotated[int, typer.Argument(metavar="N", help="Number of the project in Label Studio.")]
Project = Annotated[int, typer.Option("--project", metavar="N", help="Number of the project.")]
OptionalProject = Annotated[
    int | None, typer.Option("--project", metavar="N", help="Number of a Label Studio project.")
]
Images = Annotated[
    Path | None,
    typer.Option("--images", help="Folder of images.", exists=True, file_okay=False, metavar="DIR"),
]
Masks = Annotated[
    Path | None,
    typer.Option(
        "--masks",
        help="Folder of masks with the same stems: 0/255, or class indices.",
        exists=True,
        file_okay=False,
        metavar="DIR",
    ),
]
Labels = Annotated[
    str | None,
    typer.Option(
        "--labels",
        metavar="NAMES",
        help="Comma-separated label names in the order of the masks' class indices; by default the lines of "
        "labels.txt in the folder of masks, or label 1, label 2, ….",
    ),
]
Size = Annotated[
    int, typer.Option("--size", metavar="N", min=64, help="Longer side of the network's input, in pixels.")
]
Width = Annotated[
    int, typer.Option("--width", metavar="N", min=1, help="Channels of the network's first level.")
]


def names_of(labels: str | None) -> list[str] | None:
    """The names in the option --labels; None without it."""
    return None if labels is None else [label.strip() for label in labels.split(",")]
