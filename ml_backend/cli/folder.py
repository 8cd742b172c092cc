"""The commands `train`, `score` and `phantom`, which work on folders of images."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ml_backend.cli.console import output, print_left_out, progress_bar
from ml_backend.cli.exits import WrongUseError
from ml_backend.cli.options import Images, Labels, Masks, OptionalProject, names_of
from ml_backend.cli.watching import follow_training, request_scores

if TYPE_CHECKING:
    from model.imaging.files import ImageFiles
    from model.imaging.preprocessing import PreprocessingSettings
    from model.training.dataset import Example, FolderSample
    from model.training.run import TrainingResult


def train(
    project: OptionalProject = None,
    images: Images = None,
    masks: Masks = None,
    labels: Labels = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the version to write.", metavar="DIR")
    ] = None,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from", help="Folder of a version to fine-tune; by default from scratch.", metavar="DIR"
        ),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", metavar="N", min=1, help="Training steps.")] = 400,
    seconds: Annotated[
        float | None,
        typer.Option("--seconds", metavar="SECONDS", min=1, help="Stop after this many seconds."),
    ] = None,
    width: Annotated[
        int,
        typer.Option(
            "--width", metavar="N", min=1, help="Channels of the network's first level; not with --from."
        ),
    ] = 32,
    size: Annotated[
        int,
        typer.Option(
            "--size",
            metavar="N",
            min=32,
            help="Longer side of the network's input, in pixels; not with --from.",
        ),
    ] = 600,
    validation: Annotated[
        float,
        typer.Option(
            "--validation", metavar="SHARE", min=0, max=0.9, help="Share of the images used for validation."
        ),
    ] = 0.2,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", help="The same seed gives the same weights.")
    ] = 0,
    batch: Annotated[
        int,
        typer.Option(
            "--batch", metavar="N", min=1, help="Images in each step; the processes of torchrun share them."
        ),
    ] = 2,
) -> None:
    """Train a version, for a Label Studio project or from folders of images and masks.

    With --project, the workers train the project now, instead of when enough annotations have been submitted,
    and the progress is shown; the other options do not apply. Without it, the training runs on this machine
    and writes a folder with the weights and a card that describes them, for `dsal score` or --from.

    On a machine with several GPUs, `torchrun --nproc-per-node N` starts a process for each, which share every
    batch: `torchrun --nproc-per-node 4 --no-python dsal train --batch 8 --images DIR --masks DIR --out DIR`

    Examples: `dsal train --project 3`, `dsal train --images DIR --masks DIR --out DIR`
    """
    if project is not None:
        follow_training(project)
        return
    if images is None or masks is None or out is None:
        raise WrongUseError("Give --project N, or all of --images, --masks and --out.")
    check_out(out)
    names = names_of(labels)
    _train_folder(images, masks, names, out, start, steps, seconds, width, size, validation, seed, batch)


def check_out(out: Path) -> None:
    """Raise WrongUseError if `out` exists and is neither an empty folder nor a version."""
    from model.weights import CARD_FILE

    if out.exists() and not (out / CARD_FILE).exists() and (out.is_file() or any(out.iterdir())):
        raise WrongUseError(f"{out} exists and is not a version; give --out a new folder.")


def _train_folder(
    images: Path,
    masks: Path,
    names: list[str] | None,
    out: Path,
    start: Path | None,
    steps: int,
    seconds: float | None,
    width: int,
    size: int,
    validation: float,
    seed: int,
    batch: int,
) -> None:
    from model.imaging.files import ImageFiles, readable_suffixes
    from model.imaging.preprocessing import PreprocessingSettings
    from model.loss import LossWeights, default_dice
    from model.network import NetworkSettings
    from model.training.dataset import folder_labels, read_folder
    from model.training.first_click import first_click
    from model.training.ranks import joined
    from model.training.run import Progress, TrainingSettings
    from model.training.run import train as fine_tune
    from model.training.splitting import extend_split
    from model.weights import Card, load_version, save_version

    suffixes = readable_suffixes()
    samples = {sample.stem: sample for sample in read_folder(images, masks, suffixes)}
    network, card = load_version(start) if start is not None else (None, None)
    former = () if card is None else card.labels
    labels = folder_labels(list(samples.values()), names, otherwise=former)
    preprocessing = card.preprocessing if card is not None else PreprocessingSettings(size=size)
    shape = card.network if card is not None else NetworkSettings(classes=len(labels) + 1, width=width)
    sides = extend_split(samples, validation, seed)
    with joined() as ranks, progress_bar(shown=ranks.first) as bar:
        if ranks.first:
            print_left_out(images, masks, suffixes)
        reading = bar.add_task("Reading", total=len(samples), note="")
        examples: list[list[Example]] = []
        with ImageFiles() as files:
            for side in sides:
                examples.append([])
                for stem in side:
                    examples[-1].append(_example(samples[stem], files, preprocessing))
                    bar.advance(reading)
        training = bar.add_task("Training", total=steps, note="")

        def show(now: Progress) -> None:
            dsc = "" if now.validation_dsc is None else f"  validation DSC {now.validation_dsc:.3f}"
            bar.update(training, completed=now.step, note=f"loss {now.loss:.3f}{dsc}")

        result: TrainingResult = fine_tune(
            examples[0],
            examples[1],
            labels=labels,
            network=shape,
            settings=TrainingSettings(
                steps=steps,
                seconds=seconds,
                batch=batch,
                seed=seed,
                loss=LossWeights(dice=default_dice(len(labels))),
            ),
            start=network,
            progress=show,
        )
    if not ranks.first:
        return
    parent = card.name if card is not None else None
    about = {
        "seed": seed,
        "steps": result.steps,
        "seconds": round(result.seconds, 1),
        "images": len(sides[0]),
    }
    metrics = result.metrics | first_click(result.network, examples[1] or examples[0])
    card = Card(out.name, labels, shape, preprocessing, metrics=metrics, parent=parent, training=about)
    save_version(out, result.network, card)
    dsc = result.metrics.get("validation_dsc")
    validated = "" if dsc is None else f", validation DSC {dsc:.3f} on {len(sides[1])}"
    output().print(
        f"{out}: trained on {len(sides[0])} images in {result.steps} steps{validated}", soft_wrap=True
    )


def _example(sample: FolderSample, files: ImageFiles, preprocessing: PreprocessingSettings) -> Example:
    from model.training.dataset import make_example, read_sample

    return make_example(sample.stem, *read_sample(sample, files.read), preprocessing)


def score(
    project: OptionalProject = None,
    version: Annotated[
        Path | None,
        typer.Option(
            "--version", help="Folder of the version to score with.", file_okay=False, metavar="DIR"
        ),
    ] = None,
    images: Images = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="CSV file for the scores; for s.csv, the masks are written to s-masks/ beside it.",
            dir_okay=False,
            metavar="FILE",
        ),
    ] = None,
) -> None:
    """Score a project's tasks, or a folder of images, by the agreement between the network's outputs.

    With --project, the workers score the tasks that have no score from the published version. New tasks are
    scored automatically, so this is needed only after a failure. Without it, this machine scores the images
    with the version in a folder: it writes a CSV file with L-DSC, M-DSC and their mean, the score, in
    descending order, and the masks as PNG files (0/255 for one label, class indices for several).

    Examples: `dsal score --project 3`, `dsal score --version DIR --images DIR --out scores.csv`
    """
    if project is not None:
        request_scores(project)
        return
    if version is None or images is None or out is None:
        raise WrongUseError("Give --project N, or all of --version, --images and --out.")
    _score_folder(version, images, out)


def _score_folder(version: Path, images: Path, out: Path) -> None:
    import cv2

    from ml_backend.export.files import segmented
    from model.imaging.files import as_text, readable_suffixes
    from model.segmenter import Segmenter
    from model.training.dataset import DatasetError

    segmenter = Segmenter(version)
    suffixes = readable_suffixes()
    paths = sorted(path for path in images.iterdir() if path.suffix.lower() in suffixes)
    print_left_out(images, suffixes=suffixes)
    if not paths:
        raise DatasetError(f"{images} has no images; give a folder with files such as .png or .jpg.")
    rows: list[tuple[str, float, float, float]] = []
    unreadable: list[str] = []
    # Not named masks/: there may be a folder of true masks of that name.
    masks = out.with_name(f"{out.stem}-masks")
    masks.mkdir(parents=True, exist_ok=True)
    names = _mask_names(paths)
    factor = 255 if len(segmenter.labels) == 1 else 1
    with progress_bar() as bar:
        scoring = bar.add_task("Scoring", total=len(paths), note="")

        def bad(path: Path, reason: str) -> None:
            unreadable.append(f"{as_text(path.name)}: {reason}")
            bar.advance(scoring)

        for path, found in segmented(segmenter, paths, bad):
            bar.advance(scoring)
            agreement = found.consistency
            rows.append((as_text(path.name), agreement.l_dsc, agreement.m_dsc, agreement.score))
            # Not cv2.imwrite, which takes names of UTF-8 only, and says nothing if it fails.
            (masks / names[path]).write_bytes(cv2.imencode(".png", found.final * factor)[1].tobytes())
    rows.sort(key=lambda row: -row[3])
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "l_dsc", "m_dsc", "score"))
        writer.writerows((name, *(f"{value:.6f}" for value in values)) for name, *values in rows)
    console = output()
    console.print(
        f"{out}: {len(rows)} images scored by {segmenter.card.name}; masks in {masks}", soft_wrap=True
    )
    for sentence in unreadable:
        console.print(f"not scored: {sentence}", markup=False, soft_wrap=True)


def _mask_names(paths: Sequence[Path]) -> dict[Path, str]:
    """The file name of each image's mask: its stem, or its whole name if others have the same stem."""
    stems = Counter(path.stem for path in paths)
    names: dict[Path, str] = {}
    taken = {stem for stem, count in stems.items() if count == 1}
    for path in paths:
        stem = path.stem if stems[path.stem] == 1 else path.name
        while stems[path.stem] > 1 and stem in taken:
            stem += "_"
        taken.add(stem)
        names[path] = f"{stem}.png"
    return names


def phantom(
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="Folder for images/, masks/ and phantoms.csv.", file_okay=False, metavar="DIR"
        ),
    ],
    per_group: Annotated[
        int, typer.Option("--per-group", metavar="N", min=1, help="Images per age group.")
    ] = 11,
    groups: Annotated[
        int,
        typer.Option("--groups", metavar="N", min=1, max=19, help="Age groups, spread over 0 to 18 years."),
    ] = 19,
    seed: Annotated[int, typer.Option("--seed", metavar="N", min=0, help="Seed of the images.")] = 0,
    multilabel: Annotated[
        bool, typer.Option("--multilabel", help="Also write labels/, masks with the 19 bones numbered.")
    ] = False,
) -> None:
    """Draw synthetic hand radiographs with exact masks of the 19 bones of fingers and palm.

    Use them where no real radiographs are available. The default, 19 age groups of 11, gives 209 images, as
    many as in the paper. The same options always give the same pixels.

    Example: `dsal phantom --out DIR --per-group 2 --groups 5`
    """
    from model.research.phantom import write_phantoms

    with progress_bar() as bar:
        drawing = bar.add_task("Drawing", total=groups * per_group, note="")
        written = write_phantoms(
            out,
            groups=groups,
            per_group=per_group,
            seed=seed,
            multilabel=multilabel,
            progress=lambda done, total: bar.update(drawing, completed=done, total=total),
        )
    output().print(f"{len(written)} phantoms in {out}")
