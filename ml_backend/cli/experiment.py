"""The command `dsal experiment`: query strategies compared on images whose masks are known."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar

import typer

from ml_backend.cli.console import failure, long_progress_bar
from ml_backend.cli.exits import WrongUseError
from ml_backend.cli.experiment_report import tell
from ml_backend.cli.folder import Images, Masks

if TYPE_CHECKING:
    from model.loss import LossWeights
    from model.research.experiment.report import Report
    from model.research.experiment.rounds import Progress
    from model.research.experiment.settings import ExperimentSettings

Number = TypeVar("Number", int, float)


def experiment(
    out: Annotated[
        Path,
        typer.Option(
            "--out", help="Folder for everything; also what a killed run goes on from.", metavar="DIR"
        ),
    ],
    images: Images = None,
    masks: Masks = None,
    subjects: Annotated[
        Path | None,
        typer.Option(
            "--subjects",
            help="CSV file with the columns stem and subject; no subject is on two sides of the split.",
            exists=True,
            dir_okay=False,
            metavar="FILE",
        ),
    ] = None,
    phantom: Annotated[
        bool, typer.Option("--phantom", help="Take 209 phantoms, as many as the paper.")
    ] = False,
    arms: Annotated[
        str,
        typer.Option(
            "--arms",
            metavar="A,B,…",
            help="Query strategies, with pseudo-labels as in random+pseudo, and full for training on all "
            "labels, the bound.",
        ),
    ] = "random,consistency,disagreement,full",
    seeds: Annotated[int, typer.Option("--seeds", metavar="N", min=1, help="Paired repetitions.")] = 5,
    start: Annotated[
        int, typer.Option("--start", metavar="N", min=1, help="Labels of the first round.")
    ] = 10,
    start_by: Annotated[
        str,
        typer.Option(
            "--start-by", metavar="NAME", help="Query strategy of the first round's labels; needs --from."
        ),
    ] = "random",
    per_round: Annotated[
        int, typer.Option("--per-round", metavar="N", min=1, help="Labels added in each round.")
    ] = 10,
    rounds: Annotated[
        int, typer.Option("--rounds", metavar="R", min=1, help="Rounds after the first; not with --all.")
    ] = 5,
    everything: Annotated[bool, typer.Option("--all", help="Go on until all images are labelled.")] = False,
    fine_tune: Annotated[
        bool,
        typer.Option(
            "--fine-tune/--scratch", help="Go on from the last round's weights, or start each round afresh."
        ),
    ] = True,
    split: Annotated[
        str | None,
        typer.Option(
            "--split",
            metavar="T,V,T",
            help="Images to train, validate and test with; without, all of them as 139 : 20 : 50.",
        ),
    ] = None,
    width: Annotated[
        int, typer.Option("--width", metavar="N", min=1, help="Channels of the network's first level.")
    ] = 8,
    size: Annotated[
        int,
        typer.Option("--size", metavar="N", min=32, help="Longer side, in pixels, that the network sees."),
    ] = 96,
    steps: Annotated[
        int, typer.Option("--steps", metavar="N", min=1, help="Training steps of each round.")
    ] = 80,
    start_steps: Annotated[
        int | None,
        typer.Option(
            "--start-steps", metavar="N", min=1, help="Of the first round; without, as many as of the others."
        ),
    ] = None,
    learning_rate: Annotated[
        float, typer.Option("--learning-rate", metavar="R", help="Full height of each round's schedule.")
    ] = 3e-3,
    loss_weights: Annotated[
        str,
        typer.Option("--loss-weights", metavar="L,M,F", help="Of the lower, middle and final classifier."),
    ] = "0.1,0.3,0.6",
    dice: Annotated[
        float,
        typer.Option(
            "--dice", metavar="S", min=0, max=1, help="Share of soft Dice in each classifier's loss."
        ),
    ] = 0.0,
    keep_best: Annotated[
        bool,
        typer.Option("--keep-best/--keep-last", help="The round's best weights in validation, or its last."),
    ] = False,
    batch: Annotated[int, typer.Option("--batch", metavar="N", min=1, help="Images in a step.")] = 4,
    augment: Annotated[
        bool, typer.Option("--augment/--plain", help="Vary the training images, or take them as they are.")
    ] = True,
    dropout: Annotated[
        float,
        typer.Option("--dropout", metavar="P", min=0, max=0.9, help="Of the network; mc-dropout needs some."),
    ] = 0.0,
    norm: Annotated[
        Literal["batch", "instance", "group"],
        typer.Option("--norm", help="Of the network; group is over 8 channels each."),
    ] = "batch",
    initial: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Folder of a version whose weights all arms start with; sets width and norm.",
            exists=True,
            file_okay=False,
            metavar="DIR",
        ),
    ] = None,
    device: Annotated[
        str, typer.Option("--device", metavar="NAME", help="Where to compute: cpu, cuda, cuda:1.")
    ] = "cpu",
    processes: Annotated[
        int | None,
        typer.Option(
            "--processes",
            metavar="N",
            min=1,
            help="Of one thread each; as many as processor cores by default.",
        ),
    ] = None,
) -> None:
    """Play the paper's loop with known masks, for many query strategies, and say which one chooses best.

    All arms of a seed share the split, the first labels, the initial weights and the training steps. Writes
    results.csv (a row for each arm, seed, round and image), summary.json and figures/. Killed or stopped at
    any moment, the same command goes on where it was; more seeds, arms or rounds are added to what is there.
    Needs what requirements-experiment.txt lists.

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
            loss=_loss(loss_weights, dice),
            batch=batch,
            keep="best" if keep_best else "last",
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
    try:
        report = _run(settings, out, images, masks, subjects, processes or len(os.sched_getaffinity(0)))
    except ExperimentFolderError as error:
        raise WrongUseError(str(error)) from error
    tell(report, out)


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
        raise WrongUseError(f"{option} {text} is not three numbers; give them as in {example}.") from error
    return first, second, third


def _loss(text: str, dice: float) -> LossWeights:
    from model.loss import LossWeights

    try:
        return LossWeights(*_three(float, "--loss-weights", text, "0.1,0.3,0.6"), dice=dice)
    except ValueError as error:
        raise WrongUseError(str(error)) from error


def _run(
    settings: ExperimentSettings,
    out: Path,
    images: Path | None,
    masks: Path | None,
    subjects: Path | None,
    processes: int,
) -> Report:
    from model.research.experiment.collection import Source
    from model.research.experiment.records import PHANTOMS
    from model.research.experiment.report import run_experiment

    source = Source.of_phantoms(out / PHANTOMS)
    if images is not None and masks is not None:
        source = Source(images, masks, subjects)
    with long_progress_bar() as bar:
        reading = bar.add_task("Images", total=None, note="")
        working = bar.add_task("Rounds", total=None, note="", start=False)
        last = None

        def show(now: Progress) -> None:
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
            failure(f"Stopped{done}; nothing that is done is lost, and the same command goes on from here.")
            raise
