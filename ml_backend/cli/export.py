"""The command `export`: labels, masks, or the network of a version."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, cast

import typer

from ml_backend.cli.console import counted, output, progress_bar
from ml_backend.cli.exits import FAILED, WrongUseError
from ml_backend.cli.options import OptionalProject
from ml_backend.settings import Settings

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.progress import Progress

    from ml_backend.export.clinical import DicomFiles
    from ml_backend.export.run import Outcome
    from ml_backend.queue.context import Context

Out = Annotated[
    Path,
    typer.Option(
        "--out", metavar="DIR", help="Folder to write: a new one, or that of an export to go on with."
    ),
]
PICTURES, NETWORKS = ("png", "coco", "dicom-seg", "nifti"), ("onnx", "torchscript")
CLINICAL = ("dicom-seg", "nifti")


def export(
    out: Out,
    project: OptionalProject = None,
    what: Annotated[
        Literal["labels", "masks"],
        typer.Option("--what", help="What annotators drew, or what a version draws on all images."),
    ] = "labels",
    version: Annotated[
        str,
        typer.Option(
            "--version", metavar="NAME", help="Name of the version that draws, or whose network is exported."
        ),
    ] = "published",
    form: Annotated[
        Literal["png", "coco", "dicom-seg", "nifti", "onnx", "torchscript"] | None,
        typer.Option("--format", help="png, coco, dicom-seg or nifti; with --model onnx or torchscript."),
    ] = None,
    dicom: Annotated[
        Path | None,
        typer.Option(
            "--dicom",
            metavar="DIR",
            help="Folder with the DICOM files that were imported, for dicom-seg and nifti.",
        ),
    ] = None,
    model: Annotated[bool, typer.Option("--model", help="Export a version's network instead.")] = False,
) -> None:
    """Export the labels of a project, the masks of a version, or its network.

    Labels and masks are written as one indexed PNG, DICOM Segmentation or NIfTI file an image with a legend,
    or as one COCO file with exact RLEs; images.csv says where each is from, and left-out.csv what is missing
    and why. Run again, it goes on where it was stopped, and writes only what has changed. docs/export.md
    describes the files.

    Examples: `dsal export --project 3 --out labels`,
    `dsal export --project 3 --what masks --version p3-r004-brave-otter --format coco --out masks`,
    `dsal export --project 3 --format dicom-seg --dicom scans/ --out segmentations`,
    `dsal export --model --version published --format onnx --out network`
    """
    allowed = NETWORKS if model else PICTURES
    form = form or cast(Literal["png", "onnx"], allowed[0])
    if form not in allowed:
        with_model = "with --model" if model else "without --model"
        raise WrongUseError(f"--format {form} does not go {with_model}; give {' or '.join(allowed)}.")
    _check_dicom(form, dicom)
    if model:
        _export_network(version, project, form, out)
        return
    if project is None:
        raise WrongUseError("Give --project N, or --model for a version's network.")
    _export_pictures(project, what, version, form, out, dicom)


def _check_dicom(form: str, folder: Path | None) -> None:
    """Raise WrongUseError for a folder that does not go with the format, and DicomMissingError."""
    if form not in CLINICAL:
        if folder is not None:
            raise WrongUseError(f"--dicom goes with --format {' or '.join(CLINICAL)}, not with {form}.")
        return
    if folder is None and form == "dicom-seg":
        raise WrongUseError(
            "A DICOM Segmentation refers to its image: give the imported files by --dicom DIR."
        )
    if folder is not None and not folder.is_dir():
        raise WrongUseError(f"{folder} is no folder; give the one with the imported files by --dicom.")
    from model.dicom import require

    require()


def _export_network(version: str, project: int | None, form: str, out: Path) -> None:
    import numpy as np

    from ml_backend.export.finding import find_weights
    from model.exporting.folder import export_network
    from model.research.phantom import draw_phantom

    found = find_weights(Settings(), version, project)
    # Synthetic hands, so that no patient's image is in what is passed on; one has 16 bits.
    eight, sixteen, other = (draw_phantom(age, seed=age).image for age in (4, 9, 15))
    images: dict[str, NDArray[np.uint8 | np.uint16]] = {
        "hand-4": eight,
        "hand-9": sixteen.astype(np.uint16) * 257,
        "hand-15": other,
    }
    card = export_network(found.folder, out, form, images, threshold=found.threshold)
    output().print(
        f"{out}: the network of {card.name} as {form}; README.md describes it, and "
        f"python {out / 'segment.py'} --check compares three masks.",
        soft_wrap=True,
        markup=False,
    )


def _export_pictures(
    project: int,
    what: Literal["labels", "masks"],
    version: str,
    form: str,
    out: Path,
    dicom: Path | None,
) -> None:
    from ml_backend.export.clinical import FromDicom, clinical_format
    from ml_backend.export.finding import find_version
    from ml_backend.export.formats import FORMATS
    from ml_backend.export.labels import Labels
    from ml_backend.export.masks import Masks
    from ml_backend.export.run import export as write
    from ml_backend.export.source import Source
    from ml_backend.label_studio.config import parse
    from ml_backend.queue.context import open_context

    with open_context() as context:
        config = parse(str(context.label_studio.project(project)["label_config"] or ""))
        source: Source
        drawn_by = None
        if what == "masks":
            found = find_version(context.database, version, project)
            source, drawn_by = Masks(context, project, config, found), found.name
        else:
            source = Labels(context, project, config)
        with progress_bar() as bar:
            files = None
            if dicom is not None:
                files = _dicom_files(context, project, dicom, bar, labelled=what == "labels")
                source = FromDicom(source, files)
            task = bar.add_task("Exporting", total=source.total(), note="")
            writer = FORMATS.get(form) or clinical_format(form, files, drawn_by)
            outcome = write(out, form, source, form=writer, progress=lambda: bar.advance(task))
    tell(outcome, out, what)
    if outcome.failed:
        raise typer.Exit(FAILED)


def _dicom_files(
    context: Context, project: int, folder: Path, bar: Progress, *, labelled: bool
) -> DicomFiles:
    """The files in a folder for the tasks of a project, or for the labelled ones alone."""
    from ml_backend.dicom.pseudonyms import read_secret
    from ml_backend.export.clinical import DicomFiles

    looking = bar.add_task("Looking for DICOM files", total=None, note="")
    return DicomFiles(
        folder,
        read_secret(context.settings),
        lambda: (
            task.data for task in context.label_studio.tasks(project, unlabelled=False if labelled else None)
        ),
        lambda done, total: bar.update(looking, completed=done, total=total),
        context.settings.max_image_pixels,
    )


def tell(outcome: Outcome, out: Path, what: str) -> None:
    """Say what was written and what was not."""
    console = output()
    parts = [f"{outcome.written} written"]
    if outcome.unchanged:
        parts.append(f"{outcome.unchanged} were there already")
    if outcome.changed:
        parts.append(f"{outcome.changed} of those written had changed since")
    if outcome.removed:
        parts.append(
            f"{len(outcome.removed)} removed, as their {what} are gone ({', '.join(outcome.removed[:5])})"
        )
    console.print(f"{out}: {', '.join(parts)}; see {', '.join(outcome.files)}", soft_wrap=True, markup=False)
    for each in outcome.left_out[:20]:
        console.print(f"left out: {each.key}: {each.reason}", soft_wrap=True, markup=False)
    if len(outcome.left_out) > 20:
        console.print(f"… and {len(outcome.left_out) - 20} more; left-out.csv has all of them")
    if outcome.failed:
        console.print(
            f"{counted(outcome.failed, 'image')} could not be exported; run the command again to retry."
        )
