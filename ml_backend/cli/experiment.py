"""The command `experiment`, which compares query strategies on images with known masks."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from ml_backend.cli.console import print_error, print_left_out, progress_bar
from ml_backend.cli.exits import WrongUseError
from ml_backend.cli.experiment_report import print_report
from ml_backend.cli.options import Images, Labels, Masks, Width, names_of

if TYPE_CHECKING:
    from model.loss import LossWeights
    from model.research.experiment.collection import ImageSource
    from model.research.experiment.report import Report
    from model.research.experiment.rounds import RoundProgress
    from model.research.experiment.settings import ExperimentSettings

Number = TypeVar("Number", int, float)


def experiment(
    out: Annotated[
        Path,
        typer.Option("--out", help="Folder for all output, from which a stopped run resumes.", metavar="DIR"),
    ],
    images: Images = None,
    masks: Masks = None,
    labels: Labels = None,
    subjects: Annotated[
        Path | None,
        typer.Option(
            "--subjects",
            help="CSV file with the columns stem and subject; the split keeps a subject's images together.",
            exists=True,
            dir_okay=False,
            metavar="FILE",
        ),
    ] = None,
    phantom: Annotated[
        bool, typer.Option("--phantom", help="Use 209 phantoms, as many images as in the paper.")
    ] = False,
    arms: Annotated[
        str,
        typer.Option(
            "--arms",
            metavar="A,B,…",
            help="Query strategies; +pseudo adds pseudo-labels, as in random+pseudo; full trains on all "
            "labels, as the upper bound.",
        ),
    ] = "random,consistency,disagreement,full",
    seeds: Annotated[
        int, typer.Option("--seeds", metavar="N", min=1, help="Repetitions, paired between arms.")
    ] = 5,
    start: Annotated[
        int, typer.Option("--start", metavar="N", min=1, help="Labels in the first round.")
    ] = 10,
    start_by: Annotated[
        str,
        typer.Option(
            "--start-by",
            metavar="NAME",
            help="Query strategy that chooses the first round's labels; all but random need --from.",
        ),
    ] = "random",
    per_round: Annotated[
        int, typer.Option("--per-round", metavar="N", min=1, help="Labels added in each round.")
    ] = 10,
    rounds: Annotated[
        int, typer.Option("--rounds", metavar="R", min=1, help="Rounds after the first; not with --all.")
    ] = 5,
    everything: Annotated[
        bool, typer.Option("--all", help="Continue until all images are labelled.")
    ] = False,
    fine_tune: Annotated[
        bool,
        typer.Option(
            "--fine-tune/--scratch",
            help="Start each round from the previous round's weights, or from the initial ones.",
        ),
    ] = True,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="T,V,T",
            help="Numbers of training, validation and test images; by default all images, as 139 : 20 : 50.",
        ),
    ] = None,
    width: Width = 8,
    size: Annotated[
        int,
        typer.Option("--size", metavar="N", min=32, help="Longer side of the network's input, in pixels."),
    ] = 96,
    steps: Annotated[
        int, typer.Option("--steps", metavar="N", min=1, help="Training steps of each round.")
    ] = 80,
    start_steps: Annotated[
        int | None,
        typer.Option(
            "--start-steps",
            metavar="N",
            min=1,
            help="Training steps of the first round; by default as many as of the others.",
        ),
    ] = None,
    learning_rate: Annotated[
        float, typer.Option("--learning-rate", metavar="R", help="Peak learning rate of each round.")
    ] = 3e-3,
    loss_weights: Annotated[
        str,
        typer.Option(
            "--loss-weights",
            metavar="L,M,F",
            help="Loss weights of the lower, middle and final classifier.",
        ),
    ] = "0.1,0.3,0.6",
    dice: Annotated[
        float | None,
        typer.Option(
            "--dice",
            metavar="S",
            min=0,
            max=1,
            help="Share of soft Dice in each classifier's loss, 0 in the paper; by default 0.8 for several "
            "labels and 0 for one.",
            show_default=False,
        ),
    ] = None,
    balanced: Annotated[
        bool,
        typer.Option(
            "--balanced/--unbalanced",
            help="Learn labels on few images as often as others, or all images equally often.",
        ),
    ] = True,
    crop: Annotated[
        int | None,
        typer.Option(
            "--crop",
            metavar="N",
            min=32,
            help="Longest side of the part of an image that a step uses, in pixels; by default all of it.",
        ),
    ] = None,
    keep_best: Annotated[
        bool,
        typer.Option(
            "--keep-best/--keep-last", help="Keep a round's best weights on validation, or its last ones."
        ),
    ] = False,
    keep_start: Annotated[
        bool,
        typer.Option(
            "--keep-start/--no-keep-start",
            help="With --keep-best, whether the weights that a round starts from can be the best.",
        ),
    ] = True,
    annotator: Annotated[
        str,
        typer.Option(
            "--annotator",
            metavar="NAME",
            help="Simulated annotator: exact submits the truth; edits corrects what is visibly wrong in the "
            "shown mask; accepts:0.9 accepts shown masks with a DSC of at least 0.9, and corrects others.",
        ),
    ] = "exact",
    validation: Annotated[
        Literal["given", "any", "independent", "blind"],
        typer.Option(
            "--validation",
            help="Validation images: given have the truth from the start. Otherwise the annotator labels one "
            "for every four training images: any of them count, only the independent ones, whose masks were "
            "not accepted unchanged, or they are labelled blind, without a shown mask.",
        ),
    ] = "given",
    accepted_weight: Annotated[
        float,
        typer.Option(
            "--accepted-weight",
            metavar="W",
            min=0,
            max=1,
            help="Weight in training of masks that were accepted unchanged; 0 leaves them out.",
        ),
    ] = 1.0,
    batch: Annotated[int, typer.Option("--batch", metavar="N", min=1, help="Images per step.")] = 4,
    augment: Annotated[
        bool, typer.Option("--augment/--plain", help="Augment the training images, or use them unchanged.")
    ] = True,
    dropout: Annotated[
        float,
        typer.Option(
            "--dropout", metavar="P", min=0, max=0.9, help="Dropout probability; mc-dropout needs some."
        ),
    ] = 0.0,
    norm: Annotated[
        Literal["batch", "instance", "group"],
        typer.Option("--norm", help="Normalisation; group uses groups of 8 channels."),
    ] = "batch",
    initial: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Folder of a version whose weights all arms start from; sets width and norm.",
            exists=True,
            file_okay=False,
            metavar="DIR",
        ),
    ] = None,
    device: Annotated[
        str, typer.Option("--device", metavar="NAME", help="PyTorch device: cpu, cuda, cuda:1.")
    ] = "cpu",
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes",
            metavar="N",
            min=1,
            help="Processes, with one thread each; by default as many as processor cores.",
        ),
    ] = None,
) -> None:
    """Run the paper's loop with known masks for several query strategies, and compare the results.

    All arms of a seed share the split, the first labels, the initial weights and the training steps. Writes
    results.csv (one row per arm, seed, round and image), summary.json and figures/. After a stop or a crash,
    the same command resumes; with more seeds, arms or rounds it computes only the new ones. Needs the
    packages in requirements-experiment.txt.

    Examples: `dsal experiment --phantom --out DIR`,
    `dsal experiment --images DIR --masks DIR --arms random,consistency,full --all --out DIR`
    """
    _check_packages()
    from model.research.experiment.records import ExperimentFolderError
    from model.research.experiment.settings import ExperimentError, ExperimentSettings

    try:
        settings = ExperimentSettings(
            arms=tuple(arm.strip() for arm in arms.split(",") if arm.strip()),
            seeds=seeds,
            start=start,
            start_by=start_by,
            per_round=per_round,
            rounds=None if everything else rounds,
            fine_tune=fine_tune,
            split=None if split is None else _three(int, "--split", split, "139,20,50"),
            width=width,
            size=size,
            steps=steps,
            start_steps=start_steps,
            learning_rate=learning_rate,
            loss=_loss(loss_weights, dice or 0.0),
            balanced=balanced,
            crop=crop,
            batch=batch,
            keep="best" if keep_best else "last",
            keep_start=keep_start,
            annotator=annotator,
            validation=validation,
            accepted_weight=accepted_weight,
            augment=augment,
            dropout=dropout,
            norm=norm,
            device=device,
            initial=initial,
        )
    except ExperimentError as error:
        raise WrongUseError(str(error)) from error
    if phantom == (images is not None or masks is not None) or (images is None) != (masks is None):
        raise WrongUseError("Give --images and --masks, or --phantom.")
    source = _source(out, images, masks, names_of(labels), subjects)
    if dice is None:
        settings = replace(settings, loss=replace(settings.loss, dice=_default_dice(source)))
    try:
        report = _run(settings, out, source, processes or len(os.sched_getaffinity(0)))
    except ExperimentFolderError as error:
        raise WrongUseError(str(error)) from error
    print_report(report, out)


def _check_packages() -> None:
    from model.research.experiment import missing_packages

    missing = missing_packages()
    if missing:
        raise WrongUseError(
            f"Experiments need {' and '.join(missing)}: pip install -r requirements-experiment.txt, or "
            'pip install "dsal[experiment]".'
        )


def _three(
    kind: Callable[[str], Number], option: str, text: str, example: str
) -> tuple[Number, Number, Number]:
    try:
        first, second, third = (kind(part) for part in text.split(","))
    except ValueError as error:
        raise WrongUseError(f"{option} must be three numbers such as {example}, not {text}.") from error
    return first, second, third


def _loss(text: str, dice: float) -> LossWeights:
    from model.loss import LossWeights

    try:
        return LossWeights(*_three(float, "--loss-weights", text, "0.1,0.3,0.6"), dice=dice)
    except ValueError as error:
        raise WrongUseError(str(error)) from error


def _source(
    out: Path, images: Path | None, masks: Path | None, names: list[str] | None, subjects: Path | None
) -> ImageSource:
    from model.research.experiment.collection import ImageSource
    from model.research.experiment.records import PHANTOMS

    if images is None or masks is None:
        return ImageSource.of_phantoms(out / PHANTOMS)
    return ImageSource(images, masks, subjects, labels=None if names is None else tuple(names))


def _default_dice(source: ImageSource) -> float:
    """The share of soft Dice with which the service learns as many labels."""
    from model.loss import default_dice
    from model.training.dataset import folder_labels, read_folder

    if source.phantoms:
        return default_dice(len(source.labels or ()))
    return default_dice(len(folder_labels(read_folder(source.images, source.masks), source.labels)))


def _run(settings: ExperimentSettings, out: Path, source: ImageSource, processes: int) -> Report:
    from model.research.experiment.report import run_experiment

    if not source.phantoms:
        print_left_out(source.images, source.masks)
    with progress_bar(for_hours=True) as bar:
        reading = bar.add_task("Images", total=None, note="")
        working = bar.add_task("Rounds", total=None, note="", start=False)
        last = None

        def show(now: RoundProgress) -> None:
            nonlocal last
            if last is None:
                bar.start_task(working)
            last = now
            bar.update(working, completed=now.done, total=now.rounds, note=now.note)

        try:
            return run_experiment(
                settings,
                source,
                out,
                processes=processes,
                progress=show,
                reading=lambda done, total: bar.update(reading, completed=done, total=total),
            )
        except KeyboardInterrupt:
            bar.stop()
            done = "" if last is None else f" after {last.done} of {last.rounds} rounds"
            print_error(f"Stopped{done}; the same command resumes from here.")
            raise
