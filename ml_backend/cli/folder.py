"""Commands that also work on plain folders of images: `train`, `score`, `phantom`."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ml_backend.cli.console import answers, progress_bar
from ml_backend.cli.requests import follow_training, request_scores

if TYPE_CHECKING:
    from model.dataset import Example
    from model.preprocessing import PreprocessingSettings
    from model.training import TrainingResult

Images = Annotated[Path | None, typer.Option("--images", help="Folder of images.", file_okay=False)]
Masks = Annotated[
    Path | None,
    typer.Option("--masks", help="Folder of masks with the images' stems: 0/255, or class indices."),
]
Project = Annotated[int | None, typer.Option("--project", help="Label Studio project to do it for.")]


def train(
    project: Project = None,
    images: Images = None,
    masks: Masks = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder to write the new version into.")] = None,
    start: Annotated[
        Path | None, typer.Option("--from", help="Version folder to fine-tune from; from scratch without.")
    ] = None,
    steps: Annotated[int, typer.Option("--steps", min=1, help="Training steps.")] = 400,
    seconds: Annotated[float | None, typer.Option("--seconds", help="Stop after so many seconds.")] = None,
    width: Annotated[int, typer.Option("--width", min=1, help="Channels of the first level.")] = 32,
    size: Annotated[int, typer.Option("--size", min=32, help="Longer side in pixels as trained.")] = 600,
    validation: Annotated[float, typer.Option("--validation", help="Share kept for validation.")] = 0.2,
    seed: Annotated[int, typer.Option("--seed", help="The same seed gives the same weights.")] = 0,
) -> None:
    """Train a version: for a Label Studio project by its workers, or here from folders of images and masks.

    * `dsal train --project 3` asks the workers to retrain project 3 now, and shows the progress.

    * `dsal train --images DIR --masks DIR --out DIR` trains on this machine and writes a version folder.
    """
    if project is not None:
        follow_training(project)
        return
    if images is None or masks is None or out is None:
        raise typer.BadParameter("Give --project ID, or all of --images, --masks and --out.")
    _train_folder(images, masks, out, start, steps, seconds, width, size, validation, seed)


def _train_folder(
    images: Path,
    masks: Path,
    out: Path,
    start: Path | None,
    steps: int,
    seconds: float | None,
    width: int,
    size: int,
    validation: float,
    seed: int,
) -> None:
    from model.dataset import folder_labels, read_folder
    from model.network import NetworkSettings
    from model.preprocessing import PreprocessingSettings
    from model.splitting import extend_split
    from model.training import Progress, TrainingSettings
    from model.training import train as fine_tune
    from model.weights import Card, load_version, save_version

    samples = {sample.stem: sample for sample in read_folder(images, masks)}
    labels = folder_labels(list(samples.values()))
    network, card = load_version(start) if start is not None else (None, None)
    preprocessing = card.preprocessing if card is not None else PreprocessingSettings(size=size)
    shape = card.network if card is not None else NetworkSettings(classes=len(labels) + 1, width=width)
    sides = extend_split(samples, validation, seed)
    with progress_bar() as bar:
        reading = bar.add_task("Reading", total=len(samples), note="")
        examples: list[list[Example]] = []
        for side in sides:
            examples.append([])
            for stem in side:
                examples[-1].append(
                    _example(samples[stem].image_path, samples[stem].mask_path, preprocessing)
                )
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
            settings=TrainingSettings(steps=steps, seconds=seconds, seed=seed),
            start=network,
            progress=show,
        )
    parent = card.name if card is not None else None
    about = {
        "seed": seed,
        "steps": result.steps,
        "seconds": round(result.seconds, 1),
        "images": len(sides[0]),
    }
    save_version(
        out,
        result.network,
        Card(out.name, labels, shape, preprocessing, metrics=result.metrics, parent=parent, training=about),
    )
    dsc = result.metrics.get("validation_dsc")
    answers().print(f"{out}: {len(sides[0])} images, {result.steps} steps, validation DSC {dsc}")


def _example(image: Path, mask: Path, preprocessing: PreprocessingSettings) -> Example:
    from model.dataset import make_example, read_mask
    from model.images import decode_image

    return make_example(image.stem, decode_image(image.read_bytes()), read_mask(mask), preprocessing)


def score(
    project: Project = None,
    version: Annotated[Path | None, typer.Option("--version", help="Version folder to score with.")] = None,
    images: Images = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="CSV file for the scores; masks go beside it into masks/.")
    ] = None,
) -> None:
    """Score images by consistency: a project's unscored tasks by its workers, or a folder of images here.

    * `dsal score --project 3` has the published version score what has no score yet.

    * `dsal score --version DIR --images DIR --out FILE.csv` writes L-DSC, M-DSC and their mean for
      each image, most informative first, and the final masks.
    """
    if project is not None:
        request_scores(project)
        return
    if version is None or images is None or out is None:
        raise typer.BadParameter("Give --project ID, or all of --version, --images and --out.")
    _score_folder(version, images, out)


def _score_folder(version: Path, images: Path, out: Path) -> None:
    import cv2

    from model.dataset import IMAGE_SUFFIXES
    from model.images import ImageError, decode_image
    from model.segmenter import Segmenter

    segmenter = Segmenter(version)
    paths = sorted(path for path in images.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES)
    rows: list[tuple[str, float, float, float]] = []
    unreadable: list[str] = []
    masks = out.parent / "masks"
    masks.mkdir(parents=True, exist_ok=True)
    factor = 255 if len(segmenter.labels) == 1 else 1
    with progress_bar() as bar:
        for path in bar.track(paths, description="Scoring", task_id=bar.add_task("Scoring", note="")):
            try:
                found = segmenter.segment([decode_image(path.read_bytes())])[0]
            except ImageError as error:
                unreadable.append(f"{path.name}: {error}")
                continue
            agreement = found.consistency
            rows.append((path.name, agreement.l_dsc, agreement.m_dsc, agreement.score))
            cv2.imwrite(str(masks / f"{path.stem}.png"), found.final * factor)
    rows.sort(key=lambda row: -row[3])
    with out.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "l_dsc", "m_dsc", "score"))
        writer.writerows((name, *(f"{value:.6f}" for value in values)) for name, *values in rows)
    console = answers()
    console.print(f"{out}: {len(rows)} images scored by {segmenter.card.name}; masks in {masks}")
    for sentence in unreadable:
        console.print(f"not scored: {sentence}")


def phantom(
    out: Annotated[
        Path, typer.Option("--out", help="Folder to write images/, masks/ and phantoms.csv into.")
    ],
    per_group: Annotated[int, typer.Option("--per-group", min=1, help="Images per year-of-age group.")] = 11,
    groups: Annotated[int, typer.Option("--groups", min=1, max=19, help="Age groups, from year 0.")] = 19,
    seed: Annotated[int, typer.Option("--seed", help="The same seed draws the same images.")] = 0,
    multilabel: Annotated[
        bool, typer.Option("--multilabel", help="Also write labels/ with the 19 bones numbered.")
    ] = False,
) -> None:
    """Draw synthetic hand radiographs with exact masks of the finger bones and metacarpals.

    19 year-of-age groups of 11, the default, are the 209 images of the paper.
    """
    from model.phantom import write_phantoms

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
    answers().print(f"{len(written)} phantoms in {out}")
