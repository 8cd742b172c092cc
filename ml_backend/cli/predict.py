"""The command `predict`: masks of a version for images that are in no project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from ml_backend.cli.console import print_left_out, progress_bar
from ml_backend.cli.exits import FAILED
from ml_backend.cli.export import Out, tell

if TYPE_CHECKING:
    from ml_backend.export.files import Files
    from ml_backend.settings import Settings

Version = Annotated[
    str | None,
    typer.Option(
        "--version",
        metavar="NAME",
        help="Name of a version, `published`, or the folder of a version; by default the shipped weights.",
    ),
]


def predict(
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGES…", help="Image files and folders of them.", exists=True)
    ],
    out: Out,
    version: Version = None,
    project: Annotated[
        int | None, typer.Option("--project", metavar="N", help="The project whose version is meant.")
    ] = None,
    form: Annotated[Literal["png", "coco"], typer.Option("--format", help="As of dsal export.")] = "png",
) -> None:
    """Draw masks on images with a version, without Label Studio.

    Masks are drawn with the threshold and the limits of the version's project, and written as by `dsal
    export`. Run again, it goes on where it was stopped. Images that cannot be read are named, the others are
    done, and the exit status is then 1.

    Examples: `dsal predict --version p3-r004-brave-otter scans/ --out masks`,
    `dsal predict hand.png foot.jpg --out masks`
    """
    from ml_backend.export.files import image_files
    from ml_backend.export.run import export as write
    from ml_backend.settings import Settings
    from model.imaging.files import readable_suffixes

    paths = image_files(images)
    for place in images:
        if place.is_dir():
            print_left_out(place, suffixes=readable_suffixes())
    source = _source(Settings(), paths, version, project)
    with progress_bar() as bar:
        task = bar.add_task("Drawing", total=source.total(), note="")
        outcome = write(out, form, source, progress=lambda: bar.advance(task))
    tell(outcome, out, "images")
    if outcome.failed:
        raise typer.Exit(FAILED)


def _source(settings: Settings, paths: list[Path], version: str | None, project: int | None) -> Files:
    """The files with the segmenter of a version, and the threshold and limits of its project."""
    from ml_backend.export.files import Files
    from ml_backend.export.finding import find_weights
    from ml_backend.score.prediction import load_segmenter
    from model.pretrained import pretrained_version

    found = find_weights(settings, str(pretrained_version()) if version is None else version, project)
    segmenter = load_segmenter(settings, found.folder)
    return Files(paths, segmenter, found.digest, found.threshold, found.limits)
