"""The command `import-dicom`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ml_backend.cli.console import output, print_error, progress_bar
from ml_backend.cli.exits import FAILED, WrongUseError
from ml_backend.cli.options import Project
from ml_backend.settings import Settings

if TYPE_CHECKING:
    from ml_backend.dicom.importing import Import


def import_dicom(
    places: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATHS",
            help="DICOM files, and folders that are searched with all folders in them.",
        ),
    ],
    project: Project,
) -> None:
    """Import DICOM radiographs into a Label Studio project, under pseudonyms.

    Each single grey image becomes a 16-bit PNG, as a viewer would show it first and with square pixels, and a
    task with a pseudonym and the pixel spacing. Nothing else of a file is stored anywhere, but text that is
    burned into the picture stays in it. Images that the project has are left out, so the command can be run
    again. The status is 1 if a file could not be imported.

    Example: `dsal import-dicom scans/ --project 3`
    """
    from model.dicom import require

    if missing := [path for path in places if not path.exists()]:
        raise WrongUseError(f"{missing[0]} does not exist; give files or folders that do.")
    require()
    from ml_backend.dicom.importing import import_dicom as import_files
    from ml_backend.dicom.pseudonyms import read_secret
    from ml_backend.label_studio.client import LabelStudio

    settings = Settings()
    client = LabelStudio(
        settings.label_studio_url,
        settings.label_studio_api_key.get_secret_value(),
        timeout=settings.http_timeout,
    )
    with progress_bar() as bar:
        importing = bar.add_task("Importing", total=None, note="")
        outcome = import_files(
            client,
            project,
            places,
            read_secret(settings, create=True),
            progress=lambda done, total: bar.update(importing, completed=done, total=total),
            max_pixels=settings.max_image_pixels,
            max_bytes=settings.max_image_bytes,
        )
    _print(outcome, project)
    if outcome.refused:
        raise typer.Exit(FAILED)


def _print(outcome: Import, project: int) -> None:
    console = output()
    for path, notes in outcome.notes.items():
        console.print(f"{path}: {'; '.join(notes)}.", markup=False, soft_wrap=True)
    for path, reason in outcome.refused.items():
        print_error(f"{path} is not imported: {reason}")
    counts = [f"{len(outcome.imported)} imported"]
    counts += [f"{outcome.known} there already"] if outcome.known else []
    counts += [f"{len(outcome.refused)} not imported"] if outcome.refused else []
    counts += [f"{outcome.others} other files"] if outcome.others else []
    console.print(f"Project {project}: {', '.join(counts)}.", soft_wrap=True)
