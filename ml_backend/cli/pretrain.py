"""The command `pretrain`, which trains initial weights on phantoms alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ml_backend.cli.console import output, progress_bar
from ml_backend.cli.exits import WrongUseError
from ml_backend.cli.folder import check_out
from ml_backend.cli.options import Size, Width

if TYPE_CHECKING:
    from model.training.run import Progress


def pretrain(
    out: Annotated[
        Path, typer.Option("--out", help="Folder of the version to write.", metavar="DIR", file_okay=False)
    ],
    steps: Annotated[int | None, typer.Option("--steps", metavar="N", min=1, help="Training steps.")] = None,
    hours: Annotated[
        float | None, typer.Option("--hours", metavar="HOURS", min=0, help="Stop after this many hours.")
    ] = None,
    size: Size = 384,
    width: Width = 16,
    start: Annotated[
        Path | None,
        typer.Option(
            "--from",
            help="Folder of a version to start from; its width replaces --width.",
            metavar="DIR",
        ),
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", metavar="N", min=0, help="Seed of phantoms and weights.")
    ] = 0,
    prompts: Annotated[
        bool,
        typer.Option(
            "--prompts",
            help="Teach the version of --from what clicks and boxes mean, in --steps steps; not resumable.",
        ),
    ] = False,
) -> None:
    """Train initial weights for hand radiographs on phantoms alone, which are drawn during the training.

    It needs no images and no labels. After a stop or a crash, the same command resumes from the checkpoints
    in DIR.checkpoints. The result is a version with one label, bone, for `dsal score` or `dsal train --from`.

    Example: `dsal pretrain --hours 1 --out DIR`
    """
    if steps is None and not hours:
        raise WrongUseError("Give --steps or --hours; with both, training stops at whichever comes first.")
    check_out(out)
    if prompts:
        _learn_prompts(out, start, steps, seed)
        return
    from model.research.pretraining import PretrainingSettings
    from model.research.pretraining import pretrain as learn
    from model.training.optimisation import Budget

    settings = PretrainingSettings(
        steps=steps, seconds=None if not hours else hours * 3600, size=size, width=width, seed=seed
    )
    budget = Budget(settings.steps, settings.seconds)
    with progress_bar() as bar:
        training = bar.add_task("Pre-training", total=steps, note="")

        def show(now: Progress) -> None:
            left = budget.left(now.step, now.seconds)
            bar.update(
                training, completed=now.step, note=f"{left / 60:.0f} minutes left  loss {now.loss:.3f}"
            )

        card = learn(out, settings, start=start, progress=show)
    done, dsc = card.training["steps"], card.metrics["phantom_dsc"]
    output().print(f"{out}: {done} steps, DSC {dsc:.3f} on held-out phantoms", soft_wrap=True)


def _learn_prompts(out: Path, start: Path | None, steps: int | None, seed: int) -> None:
    if start is None or steps is None:
        raise WrongUseError("--prompts needs --from and --steps.")
    from model.research.pretraining.prompts import PromptSettings, pretrain_prompts

    with progress_bar() as bar:
        training = bar.add_task("Learning prompts", total=steps, note="")

        def show(step: int, masks: float, clicks: float) -> None:
            bar.update(training, completed=step, note=f"loss of masks {masks:.3f}, of prompts {clicks:.3f}")

        card = pretrain_prompts(out, start, PromptSettings(steps=steps, seed=seed), show)
    dsc = card.metrics["phantom_dsc"]
    output().print(
        f"{out}: {steps} steps, DSC {dsc:.3f} without prompts on held-out phantoms", soft_wrap=True
    )
